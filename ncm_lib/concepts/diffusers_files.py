"""The files of diffusers' own scripts: an embedding file per class, and a LoRA file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..errors import InputError
from ..plan.classes import ClassList
from .concept_set import SD1_ENCODER, SDXL_ENCODERS, ConceptSet, numbered_tokens
from .layout import EMBEDDINGS, LORA
from .lora import LoraPair, lora_pairs
from .tensor_files import plain_tensor, read_pickle, read_safetensors

CLASSES = "classes.json"
_PICKLE = "learned_embeds.bin"
_METADATA = "lora_adapter_metadata"
"""Where diffusers writes peft's settings."""


def is_diffusers(folder: Path) -> bool:
    """Whether the folder has embedding files."""
    return bool(_embedding_files(folder))


def read_diffusers(folder: Path) -> ConceptSet:
    """Read such a folder: the embedding files in it or in its ``embeddings``, and ``pytorch_lora_weights.safetensors``.

    An embedding file holds ``{"<token>": [width] or [n, width]}``, or for SDXL ``{"clip_l": ..., "clip_g": ...}`` where
    the token is the file's name in brackets. A class is called as its token without the brackets, unless a
    ``classes.json`` (``{"classes": [...], "tokens": [...], "meta_class": ...}``) beside them says otherwise.

    Raises:
        InputError: a file is damaged or holds something else, by name.
    """
    classes: dict[str, str] = {}
    vectors: dict[str, dict[str, Tensor]] = {}
    before: Path | None = None
    for file in _embedding_files(folder):
        found = _by_encoder(_embeddings(file), file)
        if before is not None and found.keys() != vectors.keys():
            raise InputError(
                f"{file} holds vectors for {' and '.join(found)}, and {before} for {' and '.join(vectors)}; the files "
                "of one folder are for one model."
            )
        before = file
        for encoder, tokens in found.items():
            for token, rows in tokens.items():
                own = vectors.setdefault(encoder, {})
                words = numbered_tokens(token, len(rows))
                if words.split()[0] in own:
                    raise InputError(f"{file} holds the token {token}, and so does another file of {folder}.")
                if classes.setdefault(token, words) != words:
                    raise InputError(f"{file} holds {len(rows)} vectors for {encoder}, and another number before it.")
                own.update(zip(words.split(), rows, strict=True))
    tokens = sorted(classes, key=_natural)
    listed = ClassList(names=tuple(token[1:-1] for token in tokens), tokens=tuple(classes[token] for token in tokens))
    if (folder / CLASSES).is_file():
        listed = _listed(ClassList.load(folder / CLASSES), classes, folder / CLASSES)
    used = {word for words in listed.tokens for word in words.split()}
    return ConceptSet(
        classes=listed,
        embeddings={
            encoder: {token: vector for token, vector in own.items() if token in used}
            for encoder, own in vectors.items()
        },
        lora=_lora(folder / LORA) if (folder / LORA).is_file() else {},
    )


def _embedding_files(folder: Path) -> list[Path]:
    places = [folder, folder / EMBEDDINGS]
    files = [file for place in places if place.is_dir() for file in place.iterdir() if file.is_file()]
    return sorted(
        file for file in files if file.name == _PICKLE or (file.suffix == ".safetensors" and file.name != LORA)
    )


def _embeddings(file: Path) -> dict[str, Tensor]:
    expected = "an embedding file {'<token>': [width] or [n_tokens, width]}"
    content: object = read_pickle(file, expected) if file.suffix == ".bin" else read_safetensors(file)[0]
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file} holds 0 keys; expected is {expected}.")
    found: dict[str, Tensor] = {}
    for key, value in cast("dict[Any, Any]", content).items():
        tensor = plain_tensor(value)
        word = key.strip("<>") if isinstance(key, str) else ""
        if tensor is None or tensor.ndim not in (1, 2) or not tensor.numel() or not word or re.search(r"[<>\s]", word):
            raise InputError(f"{file} holds {str(key)[:40]!r}, which is no token with vectors; expected is {expected}.")
        found[f"<{word}>"] = tensor.reshape(-1, tensor.shape[-1])
    return found


def _by_encoder(found: dict[str, Tensor], file: Path) -> dict[str, dict[str, Tensor]]:
    """Text encoder -> token -> rows."""
    if found.keys() != {f"<{encoder}>" for encoder in SDXL_ENCODERS}:
        return {SD1_ENCODER: found}
    token = "<" + re.sub(r"[<>\s]", "-", file.stem) + ">"
    return {encoder: {token: found[f"<{encoder}>"]} for encoder in SDXL_ENCODERS}


def _listed(given: ClassList, classes: Mapping[str, str], file: Path) -> ClassList:
    if not given.tokens:
        raise InputError(f'{file} has no "tokens"; beside embedding files it says which class has which token.')
    words = {word: word for word in classes.values()} | dict(classes)
    for name, token in zip(given.names, given.tokens, strict=True):
        if token not in words:
            raise InputError(f"{file} gives the class {name!r} the token {token!r}, and no embedding file holds it.")
    return ClassList(
        names=given.names, meta_class=given.meta_class, tokens=tuple(words[token] for token in given.tokens)
    )


def _lora(file: Path) -> dict[str, LoraPair]:
    tensors, metadata = read_safetensors(file)
    return lora_pairs(tensors, scale=_scale(metadata, file), where=f"The weights in {file}")


def _scale(metadata: Mapping[str, str], file: Path) -> float:
    """The scale alpha / rank from the settings that diffusers saves along; 1 where there are none."""
    if _METADATA not in metadata:
        return 1.0
    try:
        settings = json.loads(metadata[_METADATA])
        own = {key.removeprefix("unet."): value for key, value in settings.items() if key.startswith("unet.")}
        special = [key for key in ("alpha_pattern", "rank_pattern", "use_rslora", "use_dora") if own.get(key)]
        scale = float(own.get("lora_alpha", 1)) / float(own.get("r", own.get("lora_alpha", 1)))
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise InputError(f"{file} has unreadable settings in its metadata ({_METADATA}): {error}.") from error
    if special:
        raise InputError(f"{file} was trained with {', '.join(special)}, which is not read; expected is plain LoRA.")
    return scale


def _natural(token: str) -> list[tuple[int, str]]:
    """``<class_2>`` before ``<class_10>``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", token)]
