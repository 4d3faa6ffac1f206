"""The checkpoints that Diff-Mix published: a pickle of token vectors beside LoRA weights of the old layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..errors import InputError
from ..plan.classes import ClassList
from .concept_set import SD1_ENCODER, ConceptSet
from .layout import LORA
from .lora import lora_pairs
from .tensor_files import plain_tensor, read_pickle, read_safetensors

_PICKLE = re.compile(r"learned_embeds-steps-(last|[0-9]+)\.bin")
_TOKEN = re.compile(r"<class_([0-9]+)>")
_FORM = (
    "a dict of learned_embeds_dict {'<class_0>': float32[768], ...}, name2placeholder {'American Crow': '<class_0>', "
    "...} and placeholder2name"
)


def is_published(folder: Path) -> bool:
    """Whether the folder has the pickle that such a checkpoint has."""
    return bool(_pickles(folder))


def read_published(folder: Path) -> ConceptSet:
    """Read such a folder; of several pickles the last one, or that of the most steps.

    Raises:
        InputError: the LoRA file is missing, the pickle needs more than tensors and text, or its dicts do not fit
            together; the message says what was expected.
    """
    pickle = _pickles(folder)[-1]
    weights = folder / LORA
    if not weights.is_file():
        raise InputError(f"{folder} has {pickle.name} and no {LORA}; a published checkpoint has both. Download it too.")
    content = read_pickle(pickle, _FORM)
    vectors, names = _vectors(content, pickle), _names(content, pickle)
    if missing := [token for token in names if token not in vectors]:
        raise InputError(f"{pickle} names the class {names[missing[0]]!r} and has no vector for its {missing[0]}.")
    if extra := [token for token in vectors if token not in names]:
        raise InputError(f"{pickle} has a vector for {extra[0]} and no class of that token in name2placeholder.")
    tokens = sorted(names, key=_number)
    tensors, _ = read_safetensors(weights)
    return ConceptSet(
        classes=ClassList(names=tuple(names[token] for token in tokens), tokens=tuple(tokens)),
        embeddings={SD1_ENCODER: {token: vectors[token] for token in tokens}},
        lora=lora_pairs(tensors, where=f"The weights in {weights}"),
        dataset=_dataset(folder),
    )


def _pickles(folder: Path) -> list[Path]:
    """By steps, "last" at the end."""
    found = [(match[1], path) for path in folder.iterdir() if (match := _PICKLE.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: (item[0] == "last", int("0" + item[0].strip("last"))))]


def _dataset(folder: Path) -> str:
    """``cub`` of ``ckpts/cub/shot-1-lora-rank10``."""
    name = folder.resolve().parent.name
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:100] or "concepts"


def _number(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    return int(match[1]) if match else -1


def _field(content: object, key: str, file: Path) -> dict[Any, Any]:
    fields = cast("dict[Any, Any]", content) if isinstance(content, dict) else {}
    value = fields.get(key)
    if not isinstance(value, dict) or not value:
        raise InputError(f"{file} has no {key!r} with entries; expected is {_FORM}.")
    return cast("dict[Any, Any]", value)


def _vectors(content: object, file: Path) -> dict[str, Tensor]:
    vectors: dict[str, Tensor] = {}
    for token, value in _field(content, "learned_embeds_dict", file).items():
        tensor = plain_tensor(value)
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or tensor is None or tensor.ndim != 1:
            raise InputError(
                f"{file} has the entry {str(token)[:40]!r} in 'learned_embeds_dict', which is not a token such as "
                f"'<class_0>' with a vector; expected is {_FORM}."
            )
        vectors[token] = tensor
    return vectors


def _names(content: object, file: Path) -> dict[str, str]:
    """Class name by token."""
    forward = _field(content, "name2placeholder", file)
    backward = _field(content, "placeholder2name", file)
    names: dict[str, str] = {}
    for name, token in forward.items():
        if not isinstance(name, str) or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise InputError(
                f"{file} has an entry in 'name2placeholder' that is not name -> token; expected is {_FORM}."
            )
        if token in names:
            raise InputError(f"{file} gives the token {token} to two classes, {names[token]!r} and {name!r}.")
        names[token] = name
    if backward != names:
        raise InputError(f"{file} has a 'placeholder2name' that is not the reverse of 'name2placeholder'.")
    return names
