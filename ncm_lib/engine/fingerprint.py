"""What a model folder holds, as one hash that is quick even for many gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCKS = 64
BLOCK_BYTES = 1 << 20


def fingerprint(folder: Path) -> str:
    """sha256 over the names, sizes, headers and 64 spread 1 MiB blocks of the weight files, and all of the configs.

    Args:
        folder: a model folder in diffusers' layout.

    Returns:
        64 hex digits; the folder's own name and place do not matter.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*"), key=lambda file: file.relative_to(folder).as_posix()):
        if file.is_file() and file.suffix in {".safetensors", ".json"} and not file.name.startswith("."):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            _add(digest, file)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, file: Path) -> None:
    size = file.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with file.open("rb") as stream:
        if size <= BLOCKS * BLOCK_BYTES:
            digest.update(stream.read())
            return
        if file.suffix == ".safetensors":
            header = int.from_bytes(stream.read(8), "little")
            digest.update(stream.read(min(header, size)))
        for block in range(BLOCKS):
            stream.seek(block * (size - BLOCK_BYTES) // (BLOCKS - 1))
            digest.update(stream.read(BLOCK_BYTES))
