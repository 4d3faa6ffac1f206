"""Files that are either whole or not there, and disk errors in plain words."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "a file would be larger than this system allows; raise the limit",
    errno.EROFS: "the disk is read-only; make it writable or take another folder",
    errno.EACCES: "this user may not write there; change the permissions or take another folder",
    errno.EPERM: "this user may not write there; change the permissions or take another folder",
    errno.ENOENT: "the folder is gone (deleted or unmounted during the run?); bring it back or take another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away or take another folder",
}


@contextmanager
def plain_errors(path: Path) -> Generator[None]:
    """Turn an OSError of the block into an InputError that says what happened, what is safe and what to do."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise InputError(
            f"{path} cannot be written: {reason}. Every sample recorded so far stays valid; "
            "run the same command again to make what is missing."
        ) from error


def temp_path(path: Path, rank: int) -> Path:
    """Where ``path`` is written before it is renamed: the same folder, a hidden name that tells the rank."""
    return path.with_name(f".{path.name}.{rank}.tmp")


def temp_rank(name: str) -> int | None:
    """The rank that left a temp file of this name; None where it is no temp file."""
    match = re.fullmatch(r"\..+\.([0-9]+)\.tmp", name)
    return int(match[1]) if match else None


def is_temp(name: str) -> bool:
    """Whether ``name`` is a temp file of any rank."""
    return temp_rank(name) is not None


def sync_file(path: Path) -> None:
    """Wait until the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the folder's entries are on the disk (POSIX; Windows has no such call and needs none)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, rank: int = 0) -> Generator[Path]:
    """Give a temp path to write to; when the block ends well, it takes ``path``'s place at once, else it is removed."""
    temp = temp_path(path, rank)
    try:
        yield temp
        sync_file(temp)
        temp.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temp.unlink(missing_ok=True)


def replace_bytes(path: Path, data: bytes, rank: int = 0) -> None:
    """Write ``data`` to ``path`` atomically: a reader sees the old file or the new one, never a part."""
    with replacing(path, rank) as temp:
        temp.write_bytes(data)
