"""What is inside the files of a source: hash, size and pixels of each."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..typing import Bool, Int32, Int64, UInt8
from .files import ImageFiles
from .images import BadImageError, Header, read_header
from .notes import Tally, printable

Progress = Callable[[int, int], None]
"""Called with the number of files that are done, and of all."""

_CHUNK = 64
_SHOWN = 3


class _Content(NamedTuple):
    digest: bytes
    size: int
    header: Header


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Columns over the files of a source; where ``good`` is False the others hold zeros."""

    good: Bool[np.ndarray, " n"]
    digests: UInt8[np.ndarray, "n 32"]
    widths: Int32[np.ndarray, " n"]
    heights: Int32[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " n"]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    """The first few files that cannot be used, and why."""


def read_contents(files: ImageFiles, *, decode: bool, on_progress: Progress | None = None) -> Contents:
    """Hash every file and read its header, in several threads where the files are loose.

    Args:
        files: to read.
        decode: decode the pixels too.
        on_progress: called from this thread after every few files.
    """
    count = len(files)
    good, digests = np.zeros(count, dtype=np.bool_), np.zeros((count, 32), dtype=np.uint8)
    widths, heights = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.int32)
    sizes, notes, problems = np.zeros(count, dtype=np.int64), Tally(), list[str]()
    for position, content in enumerate(_inspected(files, decode)):
        if isinstance(content, str):
            if len(problems) < _SHOWN:
                problems.append(f"{printable(files.name(position))} {content}")
        else:
            good[position], sizes[position] = True, content.size
            digests[position] = np.frombuffer(content.digest, dtype=np.uint8)
            widths[position], heights[position] = content.header.width, content.header.height
            if content.header.animated:
                notes.add("images of several frames or pages, of which the first is used", files.name(position))
        if on_progress is not None and (position + 1 == count or not (position + 1) % _CHUNK):
            on_progress(position + 1, count)
    return Contents(
        good=good, digests=digests, widths=widths, heights=heights, sizes=sizes, notes=notes.lines(),
        problems=tuple(problems),
    )  # fmt: skip


def inspect(files: ImageFiles, position: int, *, decode: bool) -> _Content:
    """Read one file; BadImageError where it cannot be used."""
    data = files.read(position)
    return _Content(hashlib.sha256(data).digest(), len(data), read_header(data, decode=decode))


def _inspected(files: ImageFiles, decode: bool) -> Iterator[_Content | str]:
    """What is in every file, in order; a text where it cannot be used."""

    def chunk(start: int) -> list[_Content | str]:
        return [_tried(files, position, decode) for position in range(start, min(start + _CHUNK, len(files)))]

    starts = iter(range(0, len(files), _CHUNK))
    if files.sequential:
        for start in starts:
            yield from chunk(start)
        return
    workers = min(8, 2 * (os.cpu_count() or 1))
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: list[Future[list[_Content | str]]] = [
            pool.submit(chunk, start) for start in itertools.islice(starts, 2 * workers)
        ]
        while waiting:
            yield from waiting.pop(0).result()
            waiting += [pool.submit(chunk, start) for start in itertools.islice(starts, 1)]
    finally:  # when the reader stops or is interrupted, what has not begun never does
        pool.shutdown(cancel_futures=True)


def _tried(files: ImageFiles, position: int, decode: bool) -> _Content | str:
    try:
        return inspect(files, position, decode=decode)
    except BadImageError as error:
        return str(error)
