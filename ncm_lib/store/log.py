"""The running log: one line per finished image, written to survive anything, read to forgive anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .disk import plain_errors
from .layout import FAILURES
from .record import Record

_SHOWN = 5


class RunLog:
    """Appends records to ``metadata-RANK.jsonl``, whole lines only.

    A torn last line, left by a crash, is cut off first: the image that it told of still carries its record. A whole
    last line that only lacks its line break gets it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with plain_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            _mend_tail(self._descriptor)

    def append(self, records: Sequence[Record]) -> None:
        """Write one line per record straight to the system; on an error the log is as it was before."""
        size = os.fstat(self._descriptor).st_size
        data = "".join(f"{record.to_json()}\n" for record in records).encode("ascii")
        with plain_errors(self._path):
            try:
                _write_all(self._descriptor, data)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, size)
                raise

    def close(self) -> None:
        """Wait for the disk and close; a log that has got no line is removed."""
        try:
            with plain_errors(self._path):
                os.fsync(self._descriptor)
                empty = os.fstat(self._descriptor).st_size == 0
        finally:
            os.close(self._descriptor)
        if empty:
            with plain_errors(self._path):
                self._path.unlink(missing_ok=True)


def read_log(path: Path, notes: list[str]) -> Iterator[tuple[int, Record]]:
    """Yield (byte offset, record) of every good line; bad ones are noted with file and line, and skipped.

    Args:
        path: a log or ``metadata.jsonl``.
        notes: gets one line per problem, at most a handful per file.
    """
    bad, offset = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                if record := parse_line(line, f"{path.name} line {number}"):
                    yield offset, record
            except InputError as error:
                bad += 1
                if bad <= _SHOWN:
                    notes.append(str(error))
            offset += len(line)
    if offset == 0:
        notes.append(f"{path.name} is empty")
    if bad > _SHOWN:
        notes.append(f"{path.name}: {bad - _SHOWN} more lines are damaged")


def parse_line(line: bytes, where: str) -> Record | None:
    """The record of one line, None for a blank one. NUL bytes around it (a crashed file system's fill) are dropped."""
    text = line.strip(b"\0 \t\r\n")
    if not text and b"\0" in line:
        raise InputError(f"{where} holds {line.count(0)} NUL bytes and no record.")
    return Record.from_json(text, where) if text else None


def append_failure(root: Path, index: int, reason: str, sub_seeds: Sequence[int], rank: int) -> None:
    """Add one line to ``failures.jsonl``: what was tried for a sample that could not be made."""
    line = json.dumps({"index": index, "reason": reason, "sub_seeds": list(sub_seeds), "rank": rank})
    path = root / FAILURES
    with plain_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        try:
            _write_all(descriptor, f"{line}\n".encode("ascii"))
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _mend_tail(descriptor: int) -> None:
    """Make the file end in a line break."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    tail, start = b"", end
    while start and b"\n" not in tail:
        size = min(start, 4096)
        start -= size
        os.lseek(descriptor, start, os.SEEK_SET)
        tail = os.read(descriptor, size) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        whole = parse_line(tail, "the last line") is not None
    except InputError:
        whole = False
    if whole:
        _write_all(descriptor, b"\n")
    else:
        os.ftruncate(descriptor, end - len(tail))
