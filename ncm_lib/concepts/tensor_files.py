"""Tensors out of files that may be damaged or hostile: read whole, or refused in one line that names the file."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import InputError

MAX_BYTES = 1 << 32
"""No concept file comes near; what does is something else."""


def read_bytes(file: Path, expected: str) -> bytes:
    """The content of a file.

    Args:
        file: path.
        expected: what it should be, for messages.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file} has {file.stat().st_size} bytes; expected is {expected}.")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); expected is {expected}.") from error


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key, and the metadata, of a safetensors file.

    Raises:
        InputError: it cannot be read, is cut short, or is none.
    """
    return parse_safetensors(read_bytes(file, "a safetensors file"), file)


def parse_safetensors(data: bytes, file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The same, of bytes that were read from ``file``."""
    try:
        tensors = safetensors.torch.load(data)
    # the unsafe dtypes of a header raise KeyError and ValueError
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{file} is damaged or no safetensors file ({_line(error)}); download or write it again."
        ) from error
    (length,) = struct.unpack("<Q", data[:8])
    return tensors, json.loads(data[8 : 8 + length]).get("__metadata__", {})


def read_pickle(file: Path, expected: str) -> Any:
    """The content of a file that ``torch.save`` wrote, as long as it is tensors in plain containers.

    Only ``weights_only=True`` reads it, and there is no other way in: what needs more is refused. The archive must hold
    its bytes uncompressed, so that a small file cannot become large memory.

    Args:
        file: path.
        expected: what it should hold, for messages.

    Raises:
        InputError: it cannot be read, is no such file, or holds anything else.
    """
    data = read_bytes(file, expected)
    refused = f"{file} is refused: expected is {expected}, saved by torch 1.6 or newer"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{refused}, and this is another kind of file or a torn one ({_line(error)}).") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(
        entry.file_size for entry in entries
    ) > len(data):
        raise InputError(f"{refused}, and this archive would unpack to more than it is.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:  # a hostile pickle chooses what goes wrong
        raise InputError(
            f"{refused}, and this pickle holds something else, or is torn ({_line(error)}). Nothing in it was run. "
            "Do not load it in another way unless you trust its author."
        ) from error


def plain_tensor(value: object) -> Tensor | None:
    """A dense tensor on the CPU without autograd, if ``value`` is one; else None.

    A pickle can also describe views of huge size on little memory, so the size is checked against the memory behind.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return None
    if value.is_quantized or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return None
    return value.detach().clone()


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
