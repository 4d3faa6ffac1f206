"""A checkpoint in one file: its weights, and a folder of configs that says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .families.registry import Kind
from .load_folder import load_scheduler, part_class, read_index
from .weights import check_weights


def load_single_file(file: Path, config: Path, kind: Kind, dtype: torch.dtype) -> dict[str, Any]:
    """The components of a checkpoint in the layout of its first publication, as ComfyUI and others read it.

    What the file leaves out (the text encoders of SD 3 and FLUX often are) is taken from the config folder's weights.

    Args:
        file: a .safetensors file.
        config: a model folder in diffusers' layout; its JSON files and tokenizers are enough.
        kind: of the config folder.
        dtype: of the weights.

    Raises:
        InputError: the file is cut off, or does not hold a model of that config.
    """
    import diffusers

    check_weights(file)
    scheduler = load_scheduler(config, kind)
    pipeline: Any = getattr(diffusers, read_index(config)["_class_name"])
    absent = {name: None for name in kind.optional if not (config / name).is_dir()}
    try:
        loaded = pipeline.from_single_file(
            str(file),
            config=str(config),
            local_files_only=True,
            dtype=dtype,
            use_safetensors=True,
            scheduler=scheduler,
            **absent,
            **kind.needs_no,
        )
    except Exception as error:  # conversion fails in whatever way the file's contents lead to
        raise InputError(
            f"{file} could not be read as {kind.name}, which the config folder {config} describes "
            f"({type(error).__name__}: {error})."
        ) from error
    parts = {name: getattr(loaded, name, None) for name in kind.parts}
    for name, part in parts.items():
        if not isinstance(part, part_class(kind, name)) and name not in kind.optional:
            raise InputError(f"{file} has no {name}, and neither has the config folder {config}.")
        if empty := _empty(part):
            raise InputError(f"{file} lacks weights that the config {config / name} wants, such as {empty}.")
    return parts | {"scheduler": scheduler}


def _empty(part: Any) -> str | None:
    """A weight that was not in the file, and so never got values."""
    if not isinstance(part, torch.nn.Module):
        return None
    return next((name for name, weight in part.named_parameters() if weight.is_meta), None)
