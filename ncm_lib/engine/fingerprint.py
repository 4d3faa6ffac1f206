"""What a model folder holds, as one hash that is quick even for many gigabytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

BLOCKS = 64
BLOCK_BYTES = 1 << 20


def fingerprint(
    folder: Path,
    *,
    single: Path | None = None,
    lora: Mapping[str, float | int] | None = None,
    embeddings: Mapping[str, str | Path] | None = None,
) -> str:
    """sha256 over the names, sizes, headers and 64 spread 1 MiB blocks of the weight files, and all of the configs.

    Args:
        folder: a model folder in diffusers' layout.
        single: the checkpoint that holds the weights, where ``folder`` is its config.
        lora: added files and their scales.
        embeddings: added tokens and their files.

    Returns:
        64 hex digits; names and places of the folder, the checkpoint and added files do not matter.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*"), key=lambda file: file.relative_to(folder).as_posix()):
        if file.is_file() and file.suffix in {".safetensors", ".json"} and not file.name.startswith("."):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            _add(digest, file)
    if single is not None:
        _add(digest, single)
    for file, scale in (lora or {}).items():
        digest.update(f"lora {float(scale)!r}\0".encode())
        _add(digest, Path(file))
    for token, file in (embeddings or {}).items():
        digest.update(f"token {token}\0".encode())
        _add(digest, Path(file))
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
