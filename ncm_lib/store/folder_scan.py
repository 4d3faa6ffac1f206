"""One pass over the folders of a data set: which files are there, and how large."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..typing import Int64
from .disk import is_temp, temp_rank
from .layout import PER_FOLDER, is_ours
from .record import Array

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class FolderScan:
    """Takes the sizes of a data set's files, and notes whatever else lies in its folders.

    Args:
        root: the data set.
        count: its target size.
        clean: remove the temp files that these ranks left over.
    """

    root: Path
    count: int
    clean: Collection[int] = ()
    removed: list[str] = field(default_factory=list[str])
    """Temp files that were removed: a line each."""
    damage: list[str] = field(default_factory=list[str])
    """What keeps a folder from being read: a line each."""
    foreign: list[str] = field(default_factory=list[str])
    """What is none of the format's: a line per folder."""

    def sizes(self, kind: str, suffix: str) -> Int64[Array, " n"]:
        """Sizes of the files ``kind/FOLDER/INDEX.suffix``, -1 where none; notes all else, removes own temp files."""
        sizes = np.full(self.count, -1, dtype=np.int64)
        if (self.root / kind).is_symlink():
            self.damage.append(f"{kind} is a symlink and is not followed: a data set holds its files itself")
            return sizes
        strange: list[str] = []
        for folder in sorted(_entries(self.root / kind), key=lambda entry: entry.name):
            if folder.name.isdecimal() and folder.is_dir(follow_symlinks=False):
                self._folder(folder, kind, suffix, sizes)
            else:
                strange.append(folder.name)
        self._note(kind, strange)
        return sizes

    def look_at_root(self) -> None:
        """Note what lies beside the format's own files; remove own temp files."""
        entries = _entries(self.root)
        for entry in entries:
            self._clean(entry, entry.name)
        self._note(self.root.name, [entry.name for entry in entries if not is_ours(entry.name)])

    def _clean(self, entry: os.DirEntry[str], name: str) -> None:
        if temp_rank(entry.name) in self.clean and entry.is_file(follow_symlinks=False):
            with suppress(OSError):
                Path(entry.path).unlink()
            self.removed.append(f"{name}: left over from a run that was cut short; removed")

    def _note(self, folder: str, strange: list[str]) -> None:
        if strange:
            names = ", ".join(map(repr, sorted(strange)[:_SHOWN])) + (", ..." if len(strange) > _SHOWN else "")
            self.foreign.append(f"{folder}: {len(strange)} foreign entries are ignored: {names}")

    def _folder(self, folder: os.DirEntry[str], kind: str, suffix: str, sizes: Int64[Array, " n"]) -> None:
        start = int(folder.name) * PER_FOLDER
        # isdecimal takes other scripts' digits too; comparing the whole name settles it
        stop = min(start + PER_FOLDER, self.count) if folder.name == f"{start // PER_FOLDER:03d}" else start
        expected = {f"{index:08d}{suffix}": index - start for index in range(start, stop)}
        found, strange = [-1] * len(expected), list[str]()
        for entry in _entries(Path(folder.path)):
            position = expected.get(entry.name)
            if position is not None and entry.is_file(follow_symlinks=False):
                found[position] = entry.stat(follow_symlinks=False).st_size
            elif not is_temp(entry.name):
                strange.append(entry.name)
            else:
                self._clean(entry, f"{kind}/{folder.name}/{entry.name}")
        sizes[start : start + len(found)] = found
        self._note(f"{kind}/{folder.name}", strange)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
