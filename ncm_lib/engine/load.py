"""Loading a model: the embedded demo, a diffusers folder, a single file, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.files import parse_model
from .add_ons import add_embeddings, add_lora
from .families import Family
from .families.registry import Kind
from .families.tokens import pool_at_end
from .fingerprint import fingerprint
from .load_file import load_single_file
from .load_folder import kind_of, load_parts, read_index
from .load_source import demo_folder, find_model
from .speed import Speed, speed_up
from .weights import not_finite

__all__ = [
    "Model",
    "ModelDefaults",
    "demo_folder",
    "load_model",
    "model_classes",
    "model_fingerprint",
    "named_device",
]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class ModelDefaults(BaseModel):
    """``ncm.json`` of a model folder: what suits this model where the user says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    guidance_scale: float = Field(default=7.5, ge=0, allow_inf_nan=False)
    """Where the file does not say it: 7.5 for SD 1.x (NoiseCutMix 4.3) and 2.x, 5 for SDXL, 7 for SD 3, 3.5 for
    FLUX.1 dev, and 1, that is none, for schnell."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model: its family's adapter, where it runs, and what it is."""

    name: str
    family: Family
    device: torch.device
    dtype: torch.dtype
    fingerprint: str
    defaults: ModelDefaults
    classes: ClassList | None
    """The classes that the model was made for, where its folder lists them (``classes.json``)."""
    speed: Speed = field(default_factory=Speed)
    """What was asked for to make it faster."""


def load_model(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    config: str | Path | None = None,
    lora: Mapping[str, float | int] | None = None,
    embeddings: Mapping[str, str | Path] | None = None,
    speed: Speed | None = None,
) -> Model:
    """Load a model for generation.

    Args:
        source: "demo" (the embedded model), a folder in diffusers' layout, a .safetensors file, or a hub id such as
            "owner/name". Weights must be safetensors. Families: SD 1.x and 2.x, SDXL, SD 3 and 3.5, FLUX.1.
        device: "cpu", "cuda", "cuda:1", "mps"; None takes the best one there is.
        dtype: "float32", "bfloat16" or "float16" (or fp32, bf16, fp16); None is float16 on CUDA, else float32.
        config: for a single file: a folder in diffusers' layout, or a hub id, that says what the file holds. Its JSON
            files and tokenizers are enough. None takes the folder beside the file that has its name.
        lora: LoRA files and their scales, such as ``{"style.safetensors": 0.8}``; they are added to the weights.
        embeddings: textual inversions: token and file, such as ``{"<cat-toy>": "cat-toy.safetensors"}``. A prompt with
            the token then means what the file has learned.
        speed: ways to make the same images sooner or in less memory; None is none of them.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: there is no such model, it is of a family that is not supported, a component is missing or damaged,
            an add-on does not fit, or the device, dtype or attention kernel is not to be had.

    Example:
        >>> model = load_model("demo", device="cpu")
        >>> model.family.default_size, len(model.classes)
        (64, 50)
    """
    target = named_device(device)
    weights = _dtype(dtype, target)
    folder, single = find_model(source, config)
    kind = kind_of(folder)
    parts = load_parts(folder, kind, weights) if single is None else load_single_file(single, folder, kind, weights)
    add_lora(kind, parts, lora or {})
    add_embeddings(kind, parts, embeddings or {})
    family = _family(kind, folder, parts, target, weights)
    speed_up(parts, speed or Speed(), target, weights)
    return Model(
        name=folder.name if single is None else single.stem,
        family=family,
        device=target,
        dtype=weights,
        fingerprint=fingerprint(folder, single=single, lora=lora or {}, embeddings=embeddings or {}),
        defaults=_defaults(folder, family),
        classes=_classes(folder),
        speed=speed or Speed(),
    )


def model_classes(source: str | Path) -> ClassList | None:
    """The classes that a model was made for, without loading its weights; None where its folder lists none.

    Args:
        source: as in ``load_model``.

    Raises:
        InputError: there is no such model.

    Example:
        >>> len(model_classes("demo"))
        50
    """
    return _classes(find_model(source)[0])


def model_fingerprint(source: str | Path) -> str:
    """The fingerprint of a model, without loading its weights.

    Args:
        source: as in ``load_model``.

    Raises:
        InputError: there is no such model.

    Example:
        >>> model_fingerprint("demo") == load_model("demo", device="cpu").fingerprint
        True
    """
    folder, single = find_model(source)
    return fingerprint(folder, single=single)


def _family(kind: Kind, folder: Path, parts: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Family:
    """The adapter around the components, on their device."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            part.to(device).eval().requires_grad_(False)
            if strange := not_finite(part):
                raise InputError(
                    f"The {name} of {folder} has weights that are not finite in {str(dtype).removeprefix('torch.')}, "
                    f"such as {strange}; the file is damaged, or its numbers are too large for float16 (take bfloat16)."
                )
    if kind.upcasts and dtype == torch.float16 and parts["vae"].config.get("force_upcast"):
        parts["vae"].float()
    for suffix in ("", "_2"):
        if f"text_encoder{suffix}" in parts:
            pool_at_end(parts[f"tokenizer{suffix}"], parts[f"text_encoder{suffix}"])
    index = read_index(folder)
    settings = {name: index[entry] for name, entry in kind.settings.items() if entry in index}
    return kind.adapter(**parts, **settings, device=device, dtype=dtype)


def _classes(folder: Path) -> ClassList | None:
    return ClassList.load(folder / "classes.json") if (folder / "classes.json").is_file() else None


def _defaults(folder: Path, family: Family) -> ModelDefaults:
    file = folder / "ncm.json"
    own = ModelDefaults(guidance_scale=family.default_guidance)
    if not file.is_file():
        return own
    defaults = parse_model(
        file.read_bytes(),
        ModelDefaults,
        what=f"{file} is not a file of model defaults",
        remedy=f"It holds {', '.join(ModelDefaults.model_fields)}; mend it, or take it out of the folder.",
    )
    return defaults if "guidance_scale" in defaults.model_fields_set else own


def named_device(name: str | None) -> torch.device:
    """The device of that name, or the best one where it is None; InputError where it is not to be had."""
    mps = torch.backends.mps.is_available()
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count())), *(["mps"] if mps else [])]
    if name not in there and not (name == "cuda" and len(there) > 1):
        raise InputError(f"The device {name!r} is not to be had here; there are: {', '.join(there)}.")
    return torch.device(name)


def _dtype(name: str | None, device: torch.device) -> torch.dtype:
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if _SHORT.get(name, name) not in _DTYPES:
        raise InputError(f"The dtype {name!r} is not known; legal: {', '.join((*_DTYPES, *_SHORT))}.")
    return _DTYPES[_SHORT.get(name, name)]
