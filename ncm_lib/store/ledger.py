"""What of a data set is on the disk: one scan of the folders, held against the logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..typing import Bool, Int64
from .disk import is_temp
from .layout import INDEX, SUFFIXES, image_name, is_ours, log_paths, mask_name
from .log import parse_line, read_log
from .manifest import Manifest
from .record import Array, Record

_SHOWN = 3


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
    damage: list[str]
    """Lines that cannot be read, records that fit nothing here, left-over temp files: a line each."""
    foreign: list[str]
    """What is in the folders and is none of the format's: a line per folder."""

    @classmethod
    def read(cls, root: Path, manifest: Manifest, *, clean_rank: int | None = None) -> Ledger:
        """Scan the folders and read the logs; of several records of a sample, the last that fits its file holds.

        Args:
            root: the data set.
            manifest: its head.
            clean_rank: remove the temp files that this rank left over.
        """
        scan = _Scan(root=root, count=manifest.count, clean_rank=clean_rank)
        scan.note(root.name, [entry.name for entry in _entries(root) if not is_ours(entry.name)])
        sizes = scan.sizes("images", SUFFIXES[manifest.image_format])
        masks = scan.sizes("masks", ".png") > 0
        damage = scan.damage
        log = np.full(manifest.count, -1, dtype=np.int64)
        offset = np.zeros(manifest.count, dtype=np.int64)
        logs = (*([root / INDEX] if (root / INDEX).is_file() else []), *log_paths(root))
        for number, path in enumerate(logs):
            for place, record in read_log(path, damage):
                index = record.index
                if problem := _misfit(record, manifest):
                    damage.append(f"{path.name}: the record of sample {index} is ignored: {problem}")
                elif record.bytes == sizes[index] and (record.mask_file_name is None or masks[index]):
                    log[index], offset[index] = number, place
        return cls(
            root=root,
            sizes=sizes,
            masks=masks,
            log=log,
            offset=offset,
            logs=logs,
            damage=damage,
            foreign=scan.foreign,
        )

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


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """One pass over the folders of a data set."""

    root: Path
    count: int
    clean_rank: int | None
    damage: list[str] = field(default_factory=list[str])
    foreign: list[str] = field(default_factory=list[str])

    def sizes(self, kind: str, suffix: str) -> Int64[Array, " n"]:
        """Sizes of the files ``kind/FOLDER/INDEX.suffix``, -1 where none; notes all else, removes own temp files."""
        sizes = np.full(self.count, -1, dtype=np.int64)
        if (self.root / kind).is_symlink():
            self.damage.append(f"{kind} is a symlink and is not followed: a data set holds its files itself")
            return sizes
        strange: list[str] = []
        for folder in _entries(self.root / kind):
            if folder.name.isdecimal() and folder.is_dir(follow_symlinks=False):
                self._folder(folder, kind, suffix, sizes)
            else:
                strange.append(folder.name)
        self.note(kind, strange)
        return sizes

    def note(self, folder: str, strange: list[str]) -> None:
        """Note foreign entries of a folder in one line."""
        if strange:
            names = ", ".join(map(repr, strange[:_SHOWN])) + (", ..." if len(strange) > _SHOWN else "")
            self.foreign.append(f"{folder}: {len(strange)} foreign entries are ignored: {names}")

    def _folder(self, folder: os.DirEntry[str], kind: str, suffix: str, sizes: Int64[Array, " n"]) -> None:
        strange: list[str] = []
        for entry in _entries(Path(folder.path)):
            stem = entry.name.removesuffix(suffix)
            # isdecimal takes other scripts' digits too; comparing the whole name settles it
            index = int(stem) if stem.isdecimal() else self.count
            expected = (
                index < self.count and f"{folder.name}/{entry.name}" == f"{index // 1000:03d}/{index:08d}{suffix}"
            )
            if expected and entry.is_file(follow_symlinks=False):
                sizes[index] = entry.stat(follow_symlinks=False).st_size
            elif not is_temp(entry.name):
                strange.append(entry.name)
            elif self.clean_rank is not None and is_temp(entry.name, self.clean_rank):
                with suppress(OSError):
                    Path(entry.path).unlink()
                where = f"{kind}/{folder.name}/{entry.name}"
                self.damage.append(f"{where}: left over from a run that was cut short; removed")
        self.note(f"{kind}/{folder.name}", strange)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
