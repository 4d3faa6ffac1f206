"""A CLIP whose prompts know the learned tokens."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from comfy.sd1_clip import SDTokenizer
from torch import Tensor

from ..ncm_lib.concepts.concept_set import ConceptSet
from ..ncm_lib.errors import InputError


class ConceptTokens(SDTokenizer):
    """Mixed into a tokenizer: every learned token in a prompt becomes its vector.

    ComfyUI itself puts vectors into prompts as ``embedding:NAME``, which it looks up in files. Here a token is written
    as such a name and looked up in memory; all else, such as weights and lengths, is ComfyUI's own work.
    """

    concept_vectors: Mapping[str, Tensor]

    def tokenize_with_weights(self, text: str, *args: Any, **options: Any) -> Any:
        """As ever, after the tokens were marked."""
        tokens = "|".join(map(re.escape, self.concept_vectors))
        marked = re.sub(tokens, lambda match: f" {self.embedding_identifier}{match[0]} ", text)
        return super().tokenize_with_weights(marked, *args, **options)

    def _try_get_embedding(self, embedding_name: str) -> tuple[Tensor | None, str]:
        name, *rest = embedding_name.split() or [""]
        if name in self.concept_vectors:
            return self.concept_vectors[name], " ".join(rest)
        return super()._try_get_embedding(embedding_name)


def with_tokens(clip: Any, concepts: ConceptSet) -> Any:
    """A clone of a CLIP whose tokenizer knows the tokens of the concepts; text encoder and patches are shared.

    Raises:
        InputError: a text encoder of another number or width, or a token that the CLIP knows already.
    """
    tokenizer = copy.copy(clip.tokenizer)
    inner = {name: part for name, part in vars(tokenizer).items() if isinstance(part, SDTokenizer)}
    keys = {str(part.embedding_key) for part in inner.values()}
    # a lone encoder's vectors are its own, whatever name they have: SD 2.x's is clip_h
    if len(inner) != len(concepts.embeddings) or (len(inner) > 1 and keys != concepts.embeddings.keys()):
        here, there = (", ".join(sorted(names)) or "none" for names in (keys, concepts.embeddings))
        raise InputError(
            f"This CLIP has {len(inner)} tokenizers of Stable Diffusion's kind ({here}), and the concepts hold vectors "
            f"for {len(concepts.embeddings)} text encoders ({there}). Load Concepts is for SD 1.x and 2.x, which have "
            "one, and SDXL, which has clip_l and clip_g; link the CLIP of the model that they were learned with."
        )
    for name, part in inner.items():
        vectors = concepts.embeddings[part.embedding_key if len(inner) > 1 else next(iter(concepts.embeddings))]
        setattr(tokenizer, name, _taught(part, vectors))
    clone = clip.clone()
    clone.tokenizer = tokenizer
    return clone


def _taught(part: SDTokenizer, vectors: Mapping[str, Tensor]) -> SDTokenizer:
    """A copy of the tokenizer of one text encoder, which knows the tokens."""
    width = len(next(iter(vectors.values())))
    if width != part.embedding_size:
        raise InputError(
            f"The concepts' vectors have the width {width}, and this CLIP expects {part.embedding_size}: they were "
            "learned with a model of another family."
        )
    before: Mapping[str, Tensor] = getattr(part, "concept_vectors", {})
    if taken := [token for token in vectors if token in before]:
        raise InputError(
            f"This CLIP has the token {taken[0]} from concepts that were loaded before. Two sets with the same tokens "
            "cannot be in one prompt; load one of them."
        )
    kind = type(part)
    if not isinstance(part, ConceptTokens):
        kind = type(f"Concept{kind.__name__}", (ConceptTokens, kind), {})
    part = copy.copy(part)
    part.__class__ = kind
    part.concept_vectors = {**before, **{token: vector.detach().float() for token, vector in vectors.items()}}
    # without folders ComfyUI would not look for names at all
    part.embedding_directory = part.embedding_directory or []
    return part
