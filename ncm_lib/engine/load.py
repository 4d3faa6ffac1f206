"""Loading a model: the embedded demo, a diffusers folder, or a hub id."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from ..errors import InputError
from ..plan.classes import ClassList
from .families import Family, StableDiffusion1
from .fingerprint import fingerprint

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class ModelDefaults(BaseModel):
    """``ncm.json`` of a model folder: what suits this model where the user says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    guidance_scale: float = Field(default=7.5, ge=0, allow_inf_nan=False)
    """7.5 is NoiseCutMix 4.3's value for SD 1.5."""


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


def load_model(source: str | Path, *, device: str | None = None, dtype: str | None = None) -> Model:
    """Load a model for generation.

    Args:
        source: "demo" (the embedded model), a folder in diffusers' layout, or a hub id such as "owner/name". Weights
            must be safetensors. Families: SD 1.x.
        device: "cpu", "cuda", "cuda:1", "mps"; None takes the best one there is.
        dtype: "float32", "bfloat16" or "float16" (or fp32, bf16, fp16); None is float16 on CUDA, else float32.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: there is no such model, it is of a family that is not supported, a component is missing, or the
            device or dtype is not to be had.

    Example:
        >>> model = load_model("demo", device="cpu")
        >>> model.family.default_size, len(model.classes)
        (32, 10)
    """
    target = _device(device)
    weights = _dtype(dtype, target)
    folder = _folder(str(source))
    build_family = _family_of(folder)
    return Model(
        name=folder.name,
        family=build_family(folder, target, weights),
        device=target,
        dtype=weights,
        fingerprint=fingerprint(folder),
        defaults=_defaults(folder),
        classes=_classes(folder),
    )


def model_classes(source: str | Path) -> ClassList | None:
    """The classes that a model was made for, without loading its weights; None where its folder lists none.

    Args:
        source: as in ``load_model``.

    Raises:
        InputError: there is no such model.

    Example:
        >>> len(model_classes("demo"))
        10
    """
    return _classes(_folder(str(source)))


def demo_folder() -> Path:
    """Where the embedded demo model lies: inside an installed package, or in ``ckpts/demo`` of a clone."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_demo", package.parent / "ckpts" / "demo"):
        if (folder / "model_index.json").is_file():
            return folder
    raise InputError("The embedded demo model is missing from this installation; install the package again.")


def _folder(source: str) -> Path:
    if source == "demo":
        return demo_folder()
    path = Path(source).expanduser()
    legal = "legal: demo, a folder in diffusers' layout (with model_index.json), or a hub id such as owner/name"
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise InputError(f"The folder {source} has no model_index.json, so it is no diffusers model; {legal}.")
        return path
    if path.is_file() or path.suffix in {".ckpt", ".safetensors", ".bin", ".pt", ".pth"}:
        raise InputError(
            f"{source} is a single file; {legal}. Convert a checkpoint once with diffusers: "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)."
        )
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError(f"There is no model at {source!r}; {legal}.")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*/*.json", "*/*.txt", "*/*.safetensors"]
    try:
        return Path(snapshot_download(source, allow_patterns=patterns))
    except Exception as error:  # the hub client raises its own, requests' and the OS's errors
        raise InputError(
            f"There is no folder {source!r}, and the hub gave no model of that id "
            f"({type(error).__name__}: {error}); {legal}."
        ) from error


def _index(folder: Path) -> dict[str, Any]:
    file = folder / "model_index.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file} is not readable as JSON ({error}); a download may have stopped half-way.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}, not the object that diffusers writes.")
    return content


def _family_of(folder: Path) -> Callable[[Path, torch.device, torch.dtype], Family]:
    kind = _index(folder).get("_class_name")
    if kind not in _FAMILIES:
        known = ", ".join(f"{name} ({pipeline})" for pipeline, (name, _) in _FAMILIES.items())
        raise InputError(f"{folder} holds a {kind}; families that can be loaded: {known}.")
    return _FAMILIES[kind][1]


def _stable_diffusion_1(folder: Path, device: torch.device, dtype: torch.dtype) -> StableDiffusion1:
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        if not (folder / part).is_dir():
            raise InputError(f"The model in {folder} has no {part!r} folder; a download may have stopped half-way.")
    for part in ("unet", "vae", "text_encoder"):
        if not list((folder / part).glob("*.safetensors")):
            raise InputError(
                f"{folder / part} has no .safetensors file. Pickled weights (.bin, .ckpt) are not read, because a "
                "pickle can run code; load them once where you trust them and save with safe_serialization=True."
            )
    import diffusers
    from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    scheduler_kind: Any = getattr(diffusers, _index(folder).get("scheduler", [None, ""])[1], None)
    if not (isinstance(scheduler_kind, type) and issubclass(scheduler_kind, SchedulerMixin)):
        raise InputError(f"{folder / 'model_index.json'} names no scheduler class of diffusers.")
    weights: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder", **weights)
        unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet", **weights)
        vae: Any = AutoencoderKL.from_pretrained(folder / "vae", **weights)
        scheduler: Any = scheduler_kind.from_pretrained(folder / "scheduler", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"The model in {folder} could not be loaded: {error}") from error
    for part in (text_encoder, unet, vae):
        part.to(device).eval().requires_grad_(False)
    return StableDiffusion1(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        scheduler=scheduler,
        device=device,
        dtype=dtype,
    )


# diffusers pipeline class -> the family's name, and what builds its adapter
_FAMILIES = {"StableDiffusionPipeline": ("SD 1.x", _stable_diffusion_1)}


def _classes(folder: Path) -> ClassList | None:
    return ClassList.load(folder / "classes.json") if (folder / "classes.json").is_file() else None


def _defaults(folder: Path) -> ModelDefaults:
    file = folder / "ncm.json"
    if not file.is_file():
        return ModelDefaults()
    try:
        return ModelDefaults.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise InputError(f"{file} is not a file of model defaults: {error}") from error


def _device(name: str | None) -> torch.device:
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
