"""One writer per data set and rank."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

from ..errors import InputError
from .disk import plain_errors

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # far behind the text, so that another process can still read who holds the lock
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_for_lock(descriptor: int) -> None:
        while not _try_lock(descriptor):
            time.sleep(0.05)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_for_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


class LockedError(InputError):
    """Another process holds this rank's lock, or a process on another host left it behind."""


class FolderLock:
    """Holds a folder for one process: the operating system drops the lock when the process dies.

    The file also tells who holds it (pid, host, start time), for the message and for folders that several machines
    share, where the lock itself may not reach across: a file that another host left is respected until somebody says
    ``break_lock``. A lock that a living process of this machine holds is never broken.
    """

    def __init__(self, folder: Path, *, rank: int = 0, break_lock: bool = False) -> None:
        self._path = folder / f".ncm-{rank}.lock"
        self._break = break_lock
        self._descriptor = -1
        self.note: str | None = None
        """What was recovered from, if anything."""

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            LockedError: another process holds it, or another host left it; the message names pid and host.
            InputError: the folder cannot be written.
        """
        with plain_errors(self._path.parent):
            descriptor = self._open()
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file goes with it."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        return _open(self._path)

    def _take(self, descriptor: int) -> None:
        free = _try_lock(descriptor)
        holder = _read(descriptor)
        who = _who(holder)
        if not free:
            raise LockedError(
                f"{self._path.parent} is being written by {who}. One process at a time may write a data set: "
                "wait for it, stop it, or take another folder."
            )
        if not _still_there(self._path, descriptor):
            raise LockedError(f"{self._path.parent} was given back this very moment by {who}: start again.")
        if holder.get("host", socket.gethostname()) != socket.gethostname() and not self._break:
            raise LockedError(
                f"{self._path.parent} is locked by {who}, another machine, which may still be writing. "
                "If that process is surely gone, pass break_lock=True (--break-lock)."
            )
        if holder:
            self.note = f"recovered the lock of {who}"
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        with plain_errors(self._path.parent):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(text).encode())
            os.fsync(descriptor)


@contextmanager
def merging(folder: Path) -> Generator[None]:
    """Hold a folder while its head or its derived files are settled; other processes wait for their turn.

    Each rank has a lock of its own, so ranks that end at the same time would otherwise read the logs and write the
    merged index in any order, and the index could end without the last records.
    """
    path = folder / ".ncm-merge.lock"
    with plain_errors(folder):
        descriptor = _open(path)
        _wait_for_lock(descriptor)
        while not _still_there(path, descriptor):
            os.close(descriptor)
            descriptor = _open(path)
            _wait_for_lock(descriptor)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


@contextmanager
def all_ranks(folder: Path, *, break_lock: bool = False) -> Generator[frozenset[int]]:
    """Hold a folder against every rank that has ever written it and left its lock, and against rank 0.

    Raises:
        InputError: one of them is still writing, as ``FolderLock.acquire``.
    """
    found = (re.fullmatch(r"\.ncm-([0-9]+)\.lock", path.name) for path in folder.iterdir())
    ranks = frozenset({0, *(int(match[1]) for match in found if match)})
    with ExitStack() as stack:
        for rank in sorted(ranks):
            lock = FolderLock(folder, rank=rank, break_lock=break_lock)
            lock.acquire()
            stack.callback(lock.release)
        yield ranks


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)


def _read(descriptor: int) -> dict[str, object]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        holder: object = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return {}
    return cast("dict[str, object]", holder) if isinstance(holder, dict) else {}


def _who(holder: dict[str, object]) -> str:
    if not holder:
        return "a process that has not yet said which"
    return f"process {holder.get('pid')} on host {holder.get('host')} since {holder.get('started')}"


def _still_there(path: Path, descriptor: int) -> bool:
    """Whether the locked file is the one that the name leads to: a holder that just left has removed its own."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
