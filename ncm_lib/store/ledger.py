"""What of a data set is on the disk: one scan of the folders, held against the logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..typing import Bool, Int64
from .folder_scan import FolderScan
from .layout import INDEX, SUFFIXES, log_paths
from .line_form import LineForm
from .log import parse_line, scan_log
from .manifest import Manifest
from .record import Array, Record

_LOG = 1 << 48
"""A place is the number of a log times this, plus an offset."""
_BLANK = b"\0 \t\r\n"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Samples 0..N-1 of a data set, in 17 bytes each.

    A sample is done when a log has its record, of this plan, its image file has the size that the record tells, and
    its mask is there if the record names one.
    """

    root: Path
    sizes: Int64[Array, " n"]
    """Bytes of each image file, -1 where there is none."""
    masks: Bool[Array, " n"]
    place: Int64[Array, " n"]
    """Where each record's line is: the number in ``logs`` times 2**48, plus the offset; -1 where no log has it."""
    logs: tuple[Path, ...]
    damage: list[str]
    """Log lines that cannot be read, records that fit nothing here: a line each."""
    removed: list[str]
    """Left-over temp files that were removed: a line each."""
    foreign: list[str]
    """What is in the folders and is none of the format's: a line per folder."""

    @classmethod
    def read(cls, root: Path, manifest: Manifest, *, clean: Collection[int] = (), logs_only: bool = False) -> Ledger:
        """Scan the folders and read the logs; of several records of a sample, the last that fits its file holds.

        ``metadata.jsonl`` says again what the logs say, so it is read only where they leave an image unexplained.

        Args:
            root: the data set.
            manifest: its head.
            clean: remove the temp files that these ranks left over.
            logs_only: never read ``metadata.jsonl``.
        """
        scan = FolderScan(root=root, count=manifest.count, clean=clean)
        scan.look_at_root()
        sizes = scan.sizes("images", SUFFIXES[manifest.image_format])
        masks = scan.sizes("masks", ".png") > 0
        place = np.full(manifest.count, -1, dtype=np.int64)
        form = LineForm(manifest)
        logs = (root / INDEX, *log_paths(root))
        for number in range(1, len(logs)):
            _take(place, number, logs[number], form, sizes, masks, scan.damage)
        if bool(((place < 0) & (sizes >= 0)).any()):
            scan.damage.extend(f"{path.name} is empty" for path in logs[1:] if not path.stat().st_size)
            if logs[0].is_file() and not logs_only:
                _take(place, 0, logs[0], form, sizes, masks, scan.damage)
        return cls(
            root=root,
            sizes=sizes,
            masks=masks,
            place=place,
            logs=logs,
            damage=scan.damage,
            removed=scan.removed,
            foreign=scan.foreign,
        )

    @property
    def done(self) -> Bool[Array, " n"]:
        """Whether each sample is done."""
        return self.place >= 0

    def in_logs(self, index: int) -> bool:
        """Whether a sample is done by a log, and not by ``metadata.jsonl`` alone."""
        return int(self.place[index]) >= _LOG

    def raw_lines(self, indices: Int64[Array, " m"] | None = None) -> Iterator[tuple[int, bytes]]:
        """The done samples' (index, line with its line break) by index, or those of ``indices``; read one by one."""
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            for index in np.flatnonzero(self.done) if indices is None else indices:
                number, offset = divmod(int(self.place[index]), _LOG)
                if number not in files:
                    files[number] = stack.enter_context(self.logs[number].open("rb"))
                files[number].seek(offset)
                yield int(index), files[number].readline().strip(_BLANK) + b"\n"

    def lines(self, indices: Int64[Array, " m"] | None = None) -> Iterator[tuple[bytes, Record]]:
        """As ``raw_lines``, parsed: (line without its line break, record)."""
        for index, line in self.raw_lines(indices):
            if record := parse_line(line, f"The record of sample {index}"):
                yield line.rstrip(b"\n"), record


def read_line(logs: Sequence[Path], place: int) -> bytes:
    """The line at one of a ledger's places."""
    number, offset = divmod(place, _LOG)
    with logs[number].open("rb", buffering=1024) as file:
        file.seek(offset)
        return file.readline()


def _take(
    place: Int64[Array, " n"],
    number: int,
    path: Path,
    form: LineForm,
    sizes: Int64[Array, " n"],
    masks: Bool[Array, " n"],
    damage: list[str],
) -> None:
    """Note the places of a log's records that fit the files; a later log, and a later line of it, goes first."""
    for rows in scan_log(path, form, damage):
        fits = (rows.bytes >= 0) & (rows.bytes == sizes[rows.index]) & (~rows.has_mask | masks[rows.index])
        np.maximum.at(place, rows.index[fits], number * _LOG + rows.offset[fits])
