"""Files of weights: whole and of a known dtype, before anything is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError

# integers are position ids and the like
_LEGAL = {"F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL"}
_FLOATS = ("F16", "BF16", "F32", "F64")


def check_weights(file: Path) -> None:
    """Check that a safetensors file is whole and holds plain floating-point weights.

    Raises:
        InputError: the file is cut off, is not in the format, or holds quantised weights.
    """
    header, start = _header(file)
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    expected, size = start + max(ends, default=0), file.stat().st_size
    if size != expected:
        raise InputError(
            f"{file} has {size} bytes and its header says {expected}; a download may have stopped half-way."
        )
    dtypes = {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
    if strange := sorted(dtypes - _LEGAL):
        raise InputError(
            f"{file} holds weights of {strange[0]}; legal: {', '.join(_FLOATS)}. Quantised models are not read."
        )


def not_finite(module: torch.nn.Module) -> str | None:
    """The name of a weight that is NaN or infinite, or None where all are numbers."""
    names, weights = zip(*module.named_parameters(), strict=True)
    # one answer from the device for all of them
    sound = torch.stack([weight.isfinite().all() for weight in weights]).tolist()
    return None if all(sound) else names[sound.index(False)]


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begin."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(length) if length <= file.stat().st_size - 8 else b""
    try:
        header = json.loads(text)
        for name, entry in header.items():
            if name != "__metadata__":
                int(entry["data_offsets"][1])
                str(entry["dtype"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{file} has no header of safetensors; a download may have stopped half-way, or it is of another format."
        ) from error
    return header, 8 + length
