"""What of a data set is on the disk: one scan of the folders, held against the logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..typing import Bool, Int64
from .disk import is_temp
from .layout import INDEX, SUFFIXES, image_name, log_paths, mask_name
from .log import parse_line, read_log
from .manifest import Manifest
from .record import Array, Record

_JUNK_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Samples 0..N-1 of a data set, in a few bytes each.

    A sample is done when a log has its record, of this plan, its image file has the size that the record tells, and
    its mask is there if the record names one.
    """

    root: Path
    sizes: Int64[Array, " n"]
    """Bytes of each image file, -1 where there is none."""
    masks: Bool[Array, " n"]
    log: Int64[Array, " n"]
    """Which of ``logs`` holds the record, -1 where none does."""
    offset: Int64[Array, " n"]
    logs: tuple[Path, ...]
    notes: list[str]
    """What was found damaged, foreign or left over: a line each."""

    @classmethod
    def read(cls, root: Path, manifest: Manifest, *, clean_rank: int | None = None) -> Ledger:
        """Scan the folders and read the logs; of several records of a sample, the last that fits its file holds.

        Args:
            root: the data set.
            manifest: its head.
            clean_rank: remove the temp files that this rank left over.
        """
        notes: list[str] = []
        suffix = SUFFIXES[manifest.image_format]
        sizes = _scan(root, "images", suffix, manifest.count, notes, clean_rank)
        masks = _scan(root, "masks", ".png", manifest.count, notes, clean_rank) > 0
        log = np.full(manifest.count, -1, dtype=np.int64)
        offset = np.zeros(manifest.count, dtype=np.int64)
        logs = (*([root / INDEX] if (root / INDEX).is_file() else []), *log_paths(root))
        for number, path in enumerate(logs):
            for place, record in read_log(path, notes):
                index = record.index
                if problem := _misfit(record, manifest):
                    notes.append(f"{path.name}: the record of sample {index} is ignored: {problem}")
                elif record.bytes == sizes[index] and (record.mask_file_name is None or masks[index]):
                    log[index], offset[index] = number, place
        return cls(root=root, sizes=sizes, masks=masks, log=log, offset=offset, logs=logs, notes=notes)

    @property
    def done(self) -> Bool[Array, " n"]:
        """Whether each sample is done."""
        return self.log >= 0

    def lines(self, indices: Int64[Array, " m"] | None = None) -> Iterator[tuple[bytes, Record]]:
        """The done samples' (line, record) in index order, or those of ``indices``; read one by one."""
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            for index in np.flatnonzero(self.done) if indices is None else indices:
                number = int(self.log[index])
                if number not in files:
                    files[number] = stack.enter_context(self.logs[number].open("rb"))
                files[number].seek(int(self.offset[index]))
                line = files[number].readline()
                if record := parse_line(line, f"{self.logs[number].name}, sample {index}"):
                    yield line.strip(b"\0 \t\r\n"), record


def _misfit(record: Record, manifest: Manifest) -> str | None:
    """Why a record cannot be of this data set, or None."""
    index = record.index
    if index >= manifest.count:
        return f"the data set has {manifest.count} samples"
    if record.plan_hash != manifest.plan_hash:
        return "it belongs to another plan"
    if max(record.class_ids) >= len(manifest.classes):
        return f"it names class {max(record.class_ids)} of {len(manifest.classes)}"
    image, mask = image_name(index, manifest.image_format), mask_name(index)
    if record.file_name != image or record.mask_file_name not in (None, mask):
        return f"its file names are {record.file_name!r} and {record.mask_file_name!r}"
    return None


def _scan(
    root: Path, kind: str, suffix: str, count: int, notes: list[str], clean_rank: int | None
) -> Int64[Array, " n"]:
    """Sizes of the files ``kind/FOLDER/INDEX.suffix``, -1 where none; all else is noted, own temp files removed."""
    sizes = np.full(count, -1, dtype=np.int64)
    if (root / kind).is_symlink():
        notes.append(f"{kind} is a symlink and is not followed: a data set holds its files itself")
        return sizes
    folders = _entries(root / kind)
    strange = [entry.name for entry in folders if not (entry.name.isdecimal() and entry.is_dir(follow_symlinks=False))]
    _note(notes, kind, strange)
    for folder in folders:
        if folder.name in strange:
            continue
        strange_files: list[str] = []
        for entry in _entries(Path(folder.path)):
            stem = entry.name.removesuffix(suffix)
            # isdecimal takes other scripts' digits too; the comparison of the whole name settles it
            index = int(stem) if stem.isdecimal() else count
            if (
                index < count
                and entry.name == f"{index:08d}{suffix}"
                and folder.name == f"{index // 1000:03d}"
                and entry.is_file(follow_symlinks=False)
            ):
                sizes[index] = entry.stat(follow_symlinks=False).st_size
            elif clean_rank is not None and is_temp(entry.name, clean_rank):
                with suppress(OSError):
                    Path(entry.path).unlink()
                notes.append(f"{kind}/{folder.name}/{entry.name}: left over from a run that was cut short; removed")
            elif not is_temp(entry.name):
                strange_files.append(entry.name)
        _note(notes, f"{kind}/{folder.name}", strange_files)
    return sizes


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _note(notes: list[str], folder: str, strange: list[str]) -> None:
    if strange:
        names = ", ".join(map(repr, strange[:_JUNK_SHOWN])) + (", ..." if len(strange) > _JUNK_SHOWN else "")
        notes.append(f"{folder}: {len(strange)} foreign entries are ignored: {names}")
