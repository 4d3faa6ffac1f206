"""What was learned about classes: a vector per token, and weights that all classes share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import InputError
from ..plan.classes import ClassList
from .learned import learned_classes
from .lora import LoraPair

SD1_ENCODER = "clip_l"
"""The one text encoder of SD 1.x, by ComfyUI's name."""
SDXL_ENCODERS = ("clip_l", "clip_g")
"""The two of SDXL."""
_TOKEN = re.compile(r"<[^<>\s]+>")
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class ConceptSet:
    """The learned concepts of a list of classes.

    Construction checks that each class has tokens of its own, each token a finite vector in every text encoder, and
    that the vectors of an encoder are equally wide.

    Raises:
        InputError: one of these is not so; the message names class and token.

    Example:
        >>> birds = ClassList(names=("robin", "wren"), meta_class="bird", tokens=class_tokens(2))
        >>> vectors = {"<class_0>": torch.zeros(768), "<class_1>": torch.ones(768)}
        >>> concepts = ConceptSet(classes=birds, embeddings={"clip_l": vectors})
        >>> concepts.width("clip_l"), concepts.vectors("clip_l", 1).shape
        (768, torch.Size([1, 768]))
    """

    classes: ClassList
    """With tokens: per class one word such as ``<class_0>``, or several with spaces between them."""
    embeddings: Mapping[str, Mapping[str, Tensor]]
    """Text encoder -> token -> vector [width]."""
    lora: Mapping[str, LoraPair] = field(default_factory=dict[str, LoraPair])
    """Module path in diffusers' UNet -> what is added there; empty where only tokens were learned."""
    dataset: str = "concepts"
    """Name of the data set that they were learned from; the embedding files' names begin with it."""
    base_model: str = ""
    """Name of the model that they were learned with; empty where it is not known."""
    base_fingerprint: str = ""
    """Fingerprint of that model; empty where it is not known."""
    resolution: int | None = None
    """Image side of the training in pixels."""

    def __post_init__(self) -> None:
        if not _DATASET.fullmatch(self.dataset):
            raise InputError(
                f"The data set's name {self.dataset!r} cannot begin a file name; use letters, digits, '_', '.' and "
                "'-', 100 at most."
            )
        if not self.classes.tokens:
            raise InputError("The class list of a concept set needs tokens; class_tokens(COUNT) makes them.")
        owner: dict[str, str] = {}
        for name, words in zip(self.classes.names, self.classes.tokens, strict=True):
            for token in words.split() or [""]:
                if not _TOKEN.fullmatch(token):
                    raise InputError(f"The class {name!r} has the token {token!r}; a token is written <like_this>.")
                if token in owner:
                    raise InputError(
                        f"The token {token} stands twice: in the class {owner[token]!r} and in the class {name!r}."
                    )
                owner[token] = name
        if not self.embeddings:
            raise InputError(f"The concepts of {len(self.classes)} classes have vectors for no text encoder.")
        for encoder, vectors in self.embeddings.items():
            self._check_vectors(encoder, vectors, owner)

    def _check_vectors(self, encoder: str, vectors: Mapping[str, Tensor], owner: Mapping[str, str]) -> None:
        if extra := sorted(vectors.keys() - owner.keys()):
            raise InputError(f"The token {extra[0]!r} has a vector and belongs to no class.")
        width: int | None = None
        for token, name in owner.items():
            vector = vectors.get(token)
            if vector is None:
                raise InputError(
                    f"The class {name!r} has the token {token}, and {encoder} no vector for it; its file is missing "
                    "or holds another token."
                )
            if vector.ndim != 1 or not vector.is_floating_point() or not vector.numel():
                raise InputError(
                    f"The vector of {token} (class {name!r}) is {vector.dtype} {list(vector.shape)}; expected are "
                    "floating-point numbers in one dimension."
                )
            width = len(vector) if width is None else width
            if len(vector) != width:
                raise InputError(
                    f"The vector of {token} (class {name!r}) has the width {len(vector)}, those before it {width}."
                )
            if not bool(torch.isfinite(vector).all()):
                raise InputError(f"The vector of {token} (class {name!r}) has NaN or infinite values.")

    @property
    def rank(self) -> int | None:
        """The largest rank of the LoRA weights; None without any."""
        return max((pair.rank for pair in self.lora.values()), default=None)

    def width(self, encoder: str) -> int:
        """Width of an encoder's vectors."""
        return len(next(iter(self.embeddings[encoder].values())))

    def vectors(self, encoder: str, class_id: int) -> Tensor:
        """The vectors [n_tokens, width] of a class, in float32."""
        tokens = self.classes.tokens[class_id].split()
        return torch.stack([self.embeddings[encoder][token].detach().float() for token in tokens])

    @property
    def fingerprint(self) -> str:
        """sha256 of tokens, vectors and weights: 64 hex digits that do not depend on the files' layout."""
        digest = hashlib.sha256()
        for line in self._content():
            digest.update(line)
        return digest.hexdigest()

    def _content(self) -> Iterator[bytes]:
        for encoder in sorted(self.embeddings):
            for token in sorted(self.embeddings[encoder]):
                yield f"{encoder} {token} ".encode() + _bytes(self.embeddings[encoder][token])
        for path in sorted(self.lora):
            pair = self.lora[path]
            shape = f"{[*pair.up.shape]} {[*pair.down.shape]} {pair.scale:.7g}"
            yield f"{path} {shape} ".encode() + _bytes(pair.up) + _bytes(pair.down)

    def classes_for(self, classes: ClassList) -> ClassList:
        """The user's classes with the tokens that were learned for them.

        Args:
            classes: some or all of the learned classes in any order. A name matches when it is the same after "/" and
                "_" became spaces, as published Diff-Mix checkpoints write their names.

        Returns:
            The same names in the same order, with tokens; the metaclass is the user's, else the concepts'.

        Raises:
            InputError: a class that was not learned, by name.

        Example:
            >>> learned = ClassList(names=("Sooty Tern", "Wren"), meta_class="bird", tokens=class_tokens(2))
            >>> vectors = {"clip_l": {"<class_0>": torch.zeros(4), "<class_1>": torch.ones(4)}}
            >>> ConceptSet(classes=learned, embeddings=vectors).classes_for(ClassList.of(["Sooty_Tern"])).tokens
            ('<class_0>',)
        """
        return learned_classes(classes, self.classes)


def class_tokens(count: int, per_class: int = 1) -> tuple[str, ...]:
    """New tokens for classes: ``<class_k>``, or ``<class_k_0> <class_k_1> ...``.

    Args:
        count: classes, at least 1.
        per_class: tokens of each class, at least 1.

    Example:
        >>> class_tokens(2), class_tokens(1, per_class=2)
        (('<class_0>', '<class_1>'), ('<class_0_0> <class_0_1>',))
    """
    return tuple(numbered_tokens(f"<class_{class_id}>", per_class) for class_id in range(count))


def numbered_tokens(token: str, count: int) -> str:
    """``<word>`` itself for a count of one, else ``<word_0> <word_1> ...``."""
    return token if count == 1 else " ".join(f"{token[:-1]}_{number}>" for number in range(count))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().float().cpu().contiguous().numpy().tobytes()
