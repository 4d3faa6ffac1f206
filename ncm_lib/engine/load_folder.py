"""The components of a model folder in diffusers' layout, checked before they are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import InputError
from .families.registry import KINDS, Kind
from .schedulers import Scheduler, is_flow
from .weights import check_weights

INDEX = "model_index.json"
HALF = "a download may have stopped half-way"


def read_index(folder: Path) -> dict[str, Any]:
    """``model_index.json`` of a model folder; InputError where it is none."""
    return _read_object(folder / INDEX)


def kind_of(folder: Path) -> Kind:
    """The family of a model folder.

    Raises:
        InputError: another family; those that can be loaded are named.
    """
    kind = read_index(folder).get("_class_name")
    if kind not in KINDS:
        known = ", ".join(f"{known.name} ({pipeline})" for pipeline, known in KINDS.items())
        raise InputError(f"{folder} holds a {kind}; families that can be loaded: {known}.")
    return KINDS[kind]


def load_parts(folder: Path, kind: Kind, dtype: torch.dtype) -> dict[str, Any]:
    """The components of a folder, by the names that the family's adapter and diffusers' pipeline give them.

    Raises:
        InputError: a component is missing, cut off, pickled, or of another shape than its config says.
    """
    names = [name for name in kind.parts if not _left_out(folder, kind, name)]
    for name in names:
        if not (folder / name).is_dir():
            raise InputError(f"The model in {folder} has no {name!r} folder; {HALF}.")
    variants = {name: _variant(folder / name) for name in names if not name.startswith("tokenizer")}
    scheduler = load_scheduler(folder, kind)
    parts: dict[str, Any] = {name: None for name in kind.parts if name not in names}
    for name in names:
        parts[name] = _load_part(folder / name, part_class(kind, name), dtype, variants.get(name))
    return parts | {"scheduler": scheduler}


def load_scheduler(folder: Path, kind: Kind) -> Scheduler:
    """A folder's scheduler; InputError where it is not one that the family works with."""
    import diffusers
    from diffusers import SchedulerMixin

    if not (folder / "scheduler").is_dir():
        raise InputError(f"The model in {folder} has no 'scheduler' folder; {HALF}.")
    entry = read_index(folder).get("scheduler")
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    found: Any = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, SchedulerMixin)):
        raise InputError(f"{folder / INDEX} names no scheduler class of diffusers.")
    scheduler = _load_part(folder / "scheduler", found, torch.float32, None)
    if is_flow(scheduler) != kind.flow:
        legal = "one for flow matching" if kind.flow else "one with discrete noise levels"
        raise InputError(f"{folder / INDEX} names the scheduler {name}; a model of {kind.name} has {legal}.")
    return scheduler


def part_class(kind: Kind, name: str) -> Any:
    """The class of a component: diffusers' models, and text encoders and tokenizers of transformers."""
    import diffusers
    import transformers

    library: Any = transformers if name.startswith(("text_encoder", "tokenizer")) else diffusers
    return getattr(library, kind.parts[name])


def _load_part(folder: Path, part: Any, dtype: torch.dtype, variant: str | None) -> Any:
    weights = not folder.name.startswith(("tokenizer", "scheduler"))
    options: dict[str, Any] = {"local_files_only": True}
    if weights:
        options |= {"dtype": dtype, "use_safetensors": True, "variant": variant, "output_loading_info": True}
    try:
        loaded = part.from_pretrained(folder, **options)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise InputError(f"The model in {folder.parent} could not be loaded: {error}") from error
    if not weights:
        return loaded
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        # they would be random otherwise
        raise InputError(
            f"The weights in {folder} lack {len(missing)} tensors that its config wants, such as {missing[0]}; they "
            "are of another model, or damaged."
        )
    return model


def _left_out(folder: Path, kind: Kind, name: str) -> bool:
    entry = read_index(folder).get(name)
    return name in kind.optional and (entry is None or entry == [None, None])


def _variant(folder: Path) -> str | None:
    """Check a component's weights; the variant of their names ("fp16"), or None where they have plain names."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{folder} has no .safetensors file. Pickled weights (.bin, .ckpt) are not read, because a pickle can run "
            "code; load them once where you trust them and save with safe_serialization=True."
        )
    for index in folder.glob("*.safetensors.index*.json"):
        shards = _read_object(index).get("weight_map")
        missing = sorted(set(shards.values()) - {file.name for file in files}) if isinstance(shards, dict) else [""]
        if missing:
            raise InputError(f"{index} names {missing[0] or 'no files'}, which is not there; {HALF}.")
    for file in files:
        check_weights(file)
    # model.safetensors, model-00001-of-00002.safetensors, model.fp16.safetensors, model.fp16-00001-of-00002.safetensors
    middles = {file.name.split(".")[1].split("-")[0] if file.name.count(".") > 1 else None for file in files}
    return None if None in middles else sorted(filter(None, middles))[0]


def _read_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file} is not readable as JSON ({error}); {HALF}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}, not the object that diffusers writes.")
    return content
