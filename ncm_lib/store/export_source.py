"""The finished samples of a data set, as an export takes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .layout import safe_join
from .ledger import Ledger
from .manifest import Manifest
from .record import Record


@dataclass(frozen=True, kw_only=True)
class Written:
    """What one format's writer has put into the folder."""

    count: int
    """Images."""
    files: int
    """Shards, Parquet files, or class folders."""
    notes: tuple[str, ...] = ()
    """What somebody may not expect, a line each."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set that is exported: records in index order, and the bytes of their files."""

    root: Path
    manifest: Manifest
    ledger: Ledger
    on_progress: Callable[[int, int], object]
    """Called with (samples that are through, all of them)."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self.ledger.done))

    def records(self) -> Iterator[Record]:
        """One by one; a sample counts as through when the next one is asked for."""
        total = len(self)
        for number, (_, record) in enumerate(self.ledger.lines()):
            self.on_progress(number, total)
            yield record
        self.on_progress(total, total)

    def image(self, record: Record) -> bytes:
        """The image file as it is.

        Raises:
            InputError: it cannot be read, or has another size than its record tells.
        """
        data = self._read(record.file_name)
        if len(data) != record.bytes:
            raise InputError(
                f"{self.root / record.file_name} has {len(data)} bytes, and its record tells {record.bytes}: it was "
                "changed just now. Wait for what writes there, or run `ncm verify`, and export again."
            )
        return data

    def mask(self, record: Record) -> bytes | None:
        """The mask file as it is, or None where the sample has none."""
        return None if record.mask_file_name is None else self._read(record.mask_file_name)

    def path(self, record: Record) -> Path:
        """Where the image file is."""
        return safe_join(self.root, record.file_name)

    def class_list(self) -> dict[str, Any]:
        """The class names by class id, in the form of a class list's file."""
        return {"classes": list(self.manifest.classes), "meta_class": self.manifest.meta_class}

    def _read(self, name: str) -> bytes:
        try:
            return safe_join(self.root, name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.root / name} cannot be read ({error.strerror}). Run `ncm verify` to see what is wrong, "
                "or the generation again to make the sample anew, and export again."
            ) from error


def cut(records: Iterable[Record], *, samples: int, size: int) -> Iterator[tuple[int, Iterator[Record]]]:
    """Cut a stream into numbered parts of at most ``samples`` records, whose images have at most ``size`` bytes.

    An image that alone is larger gets a part of its own. Nothing is read ahead: go through each part before the next.
    """
    number = count = total = 0

    def part_of(record: Record) -> int:
        nonlocal number, count, total
        more = record.bytes or 0
        if count and (count == samples or total + more > size):
            number, count, total = number + 1, 0, 0
        count, total = count + 1, total + more
        return number

    return itertools.groupby(records, part_of)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one object, the same bytes on every system."""
    path.write_bytes(f"{json.dumps(content, indent=2)}\n".encode("ascii"))
