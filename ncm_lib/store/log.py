"""The running log: one line per finished image, written to survive anything, read to forgive anything."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..wording import counted
from .disk import plain_errors
from .layout import FAILURES
from .line_form import LineForm, Rows
from .record import Record

_SHOWN = 5
_CHUNK = 1 << 20


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


def scan_log(path: Path, form: LineForm, notes: list[str]) -> Iterator[Rows]:
    """Yield the good lines that fit a data set; others are noted with file and line, and skipped.

    Args:
        path: a log or ``metadata.jsonl``.
        form: of the data set's lines.
        notes: gets one line per problem, at most a handful per file.
    """
    problems = _Problems()
    offset, number = 0, 1
    with path.open("rb") as file:
        while lines := file.read(_CHUNK) + file.readline():
            for rows in _rows(lines, form, f"{path.name} line", number, problems):
                yield dataclasses.replace(rows, offset=rows.offset + offset)
            offset += len(lines)
            number += lines.count(b"\n")
    notes += problems.first
    if problems.count > _SHOWN:
        notes.append(f"{path.name}: {counted(problems.count - _SHOWN, 'more damaged line')}")


@dataclass(kw_only=True)
class _Problems:
    """Counts all, keeps the first."""

    count: int = 0
    first: list[str] = field(default_factory=list[str])

    def add(self, problem: str) -> None:
        self.count += 1
        if self.count <= _SHOWN:
            self.first.append(problem)


def _rows(lines: bytes, form: LineForm, where: str, number: int, problems: _Problems) -> Iterator[Rows]:
    """Halve what is not all of the form, until the odd lines are alone; those are parsed in full."""
    if rows := form.rows(lines):
        yield rows
        return
    middle = lines.rfind(b"\n", 0, len(lines) // 2) + 1 or lines.find(b"\n") + 1
    if 0 < middle < len(lines):
        yield from _rows(lines[:middle], form, where, number, problems)
        for rows in _rows(lines[middle:], form, where, number + lines.count(b"\n", 0, middle), problems):
            yield dataclasses.replace(rows, offset=rows.offset + middle)
        return
    try:
        record = parse_line(lines, f"{where} {number}")
    except InputError as error:
        problems.add(str(error))
        return
    if record is not None and (problem := form.misfit(record)):
        problems.add(f"{where} {number}: the record of sample {record.index} is ignored: {problem}")
    elif record is not None:
        yield Rows.of(record)


def parse_line(line: bytes, where: str) -> Record | None:
    """The record of one line, None for a blank one. NUL bytes around it (a crashed file system's fill) are dropped."""
    text = line.strip(b"\0 \t\r\n")
    if not text and b"\0" in line:
        raise InputError(f"{where} holds {line.count(0)} NUL bytes and no record.")
    return Record.from_json(text, where) if text else None


def append_failure(root: Path, index: int, reason: str, seeds: Sequence[int], *, kept: bool) -> None:
    """Add one line to ``failures.jsonl``: ``{"index", "reason", "seeds", "kept"}``.

    Args:
        root: the data set.
        index: of the sample that came out bad.
        reason: why it is bad.
        seeds: that were tried, in order: the plan's, then the sub-seeds.
        kept: whether the last of them gave the image that the data set has now; else the sample is still missing.
    """
    line = json.dumps({"index": index, "reason": reason, "seeds": list(seeds), "kept": kept})
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
