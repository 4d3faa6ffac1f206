"""LoRA and textual inversions, put into a model's components by diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ..errors import InputError
from .families.registry import KINDS, Kind
from .weights import check_weights


def add_lora(kind: Kind, parts: dict[str, Any], files: Mapping[str, float | int]) -> None:
    """Load LoRA files into the components, and add them to the weights, so that they cost no time.

    Args:
        kind: of the components.
        parts: of ``load_parts``.
        files: .safetensors file -> scale.

    Raises:
        InputError: a file cannot be read, or none of its layers are the model's.
    """
    if not files:
        return
    pipeline = _pipeline(kind, parts)
    for number, file in enumerate(files):
        _check(file, "LoRA")
        try:
            pipeline.load_lora_weights(
                str(Path(file).parent), weight_name=Path(file).name, adapter_name=f"lora_{number}"
            )
        except Exception as error:  # each layout that diffusers knows has its own errors
            raise InputError(
                f"The LoRA {file} could not be loaded into this {kind.name} ({type(error).__name__}: {error})."
            ) from error
        if f"lora_{number}" not in {name for names in pipeline.get_list_adapters().values() for name in names}:
            raise InputError(f"The LoRA {file} has no layer of this {kind.name}; it is for another model.")
    names = [f"lora_{number}" for number in range(len(files))]
    pipeline.set_adapters(names, [float(scale) for scale in files.values()])
    pipeline.fuse_lora(adapter_names=names)
    pipeline.unload_lora_weights()


def add_embeddings(kind: Kind, parts: dict[str, Any], files: Mapping[str, str | Path]) -> None:
    """Teach the text encoders new tokens.

    Args:
        kind: of the components.
        parts: of ``load_parts``.
        files: token, as it stands in prompts -> .safetensors file with its vector or vectors; for SDXL with ``clip_l``
            and ``clip_g``, one for each encoder.

    Raises:
        InputError: a file cannot be read, the token is taken, the widths differ, or the family has none.
    """
    if not files:
        return
    if not kind.inversions:
        raise InputError(f"Textual inversions are for SD 1.x, 2.x and SDXL; this model is {kind.name}.")
    pipeline = _pipeline(kind, parts)
    encoders = {"clip_l": ""} | ({"clip_g": "_2"} if "text_encoder_2" in parts else {})
    for token, file in files.items():
        _check(file, "textual inversion")
        tensors = load_file(file)
        several = set(tensors) == {"clip_l", "clip_g"}
        if several != (len(encoders) > 1):
            legal = "clip_l and clip_g, one for each text encoder" if len(encoders) > 1 else "one tensor"
            raise InputError(
                f"The textual inversion {file} holds {', '.join(sorted(tensors))}; {kind.name} needs {legal}."
            )
        for name, suffix in encoders.items():
            try:
                pipeline.load_textual_inversion(
                    {token: tensors[name] if several else next(iter(tensors.values()))},
                    token=token,
                    text_encoder=parts[f"text_encoder{suffix}"],
                    tokenizer=parts[f"tokenizer{suffix}"],
                )
            except (ValueError, RuntimeError, StopIteration) as error:
                raise InputError(f"The textual inversion {file} could not be loaded as {token!r}: {error}") from error


def _check(file: str | Path, what: str) -> None:
    if Path(file).suffix != ".safetensors" or not Path(file).is_file():
        raise InputError(f"There is no {what} at {file}; give a .safetensors file.")
    check_weights(Path(file))


def _pipeline(kind: Kind, parts: dict[str, Any]) -> Any:
    """The stock pipeline around the components: diffusers' loaders are its methods."""
    import diffusers

    name = next(name for name, known in KINDS.items() if known == kind)
    return getattr(diffusers, name)(**parts, **kind.needs_no)
