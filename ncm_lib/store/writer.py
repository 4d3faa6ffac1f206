"""Writes a data set, or goes on with one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from ..errors import InputError
from ..typing import Bool
from ..wording import counted
from .derived import is_current, write_derived
from .disk import is_temp, plain_errors, sync_file, sync_folder, temp_path
from .images import Picture, encode_image, encode_mask, mask_sha256
from .layout import MANIFEST, image_name, log_name, log_paths, mask_name, safe_join
from .ledger import Ledger
from .line_form import LineForm
from .lock import FolderLock, merging
from .log import RunLog, append_failure
from .manifest import Manifest, continued
from .record import Array, Record
from .soundness import check_mask, sound_record

Item = tuple[Record, Picture, Array | None]
"""A record, its image, and its mask [h, w] (the first class's share per cell) or None."""

_JUNK = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", "lost+found"}


class DatasetWriter:
    """Creates the data set in ``path``, or continues the one that is there, and holds it for one process.

    Use it as a context manager. It continues where plan and render settings agree, extends where the count is larger,
    and refuses all else without touching anything. Whatever ends the block, the derived files are brought up to date.

    Args:
        path: the data set's folder; new, empty, or one that this class wrote.
        manifest: what this run would make.
        rank: of this process among those that share the folder; each rank has its own log and lock.
        break_lock: take the folder over from a dead process on another host.
        derived: bring the derived files up to date at the end; where one process starts others, its own writer does.

    Raises:
        InputError: on entry: another data set or other files in ``path``, a smaller count, a lock that is held, or a
            place that cannot be written.

    Example:
        >>> import tempfile
        >>> manifest = Manifest(
        ...     classes=("cat", "dog"), method="demo", config={}, seed=0, plan_hash="1", batch_shape=1, count=1
        ... )
        >>> record = Record(
        ...     file_name="-", index=0, seed=5, class_ids=(0, 1), weights=(0.5, 0.5), method="demo", plan_hash="1"
        ... )
        >>> with tempfile.TemporaryDirectory() as folder, DatasetWriter(folder, manifest) as writer:
        ...     writer.write_batch([(record, np.zeros((8, 8, 3), np.uint8), None)])
        ...     writer.missing()
        []
    """

    def __init__(
        self, path: str | Path, manifest: Manifest, *, rank: int = 0, break_lock: bool = False, derived: bool = True
    ) -> None:
        self.path = Path(path)
        self.manifest = manifest
        """What is written: on entry, that of the folder takes its place, with the larger count."""
        self.notes: list[str] = []
        """What was found on entry that is not as it should be, a line each: damaged lines, foreign files."""
        self._rank = rank
        self._derived = derived
        self._lock = FolderLock(self.path, rank=rank, break_lock=break_lock)
        self._folders: set[Path] = set()

    def __enter__(self) -> DatasetWriter:
        with plain_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            with plain_errors(self.path):
                with merging(self.path):
                    self._settle_manifest()
                self._log_sizes = _log_sizes(self.path)
                ledger = Ledger.read(self.path, self.manifest, clean=(self._rank,))
            lock_note = [self._lock.note] if self._lock.note else []
            self.notes += [*lock_note, *ledger.removed, *ledger.damage, *ledger.foreign]
            self._ledger = ledger
            self._done: Bool[Array, " n"] = np.array(ledger.done)
            self._changed = False
            self._log = RunLog(self.path / log_name(self._rank))
        except BaseException:
            self._lock.release()
            raise
        try:
            self._adopt(ledger)
        except BaseException:
            self._log.close()
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with plain_errors(self.path):
                try:
                    self._log.close()
                finally:
                    if self._derived:
                        with merging(self.path):
                            self._settle_derived()
        except InputError:
            # the error that ended the run is the one to tell; the derived files can be made again at any time
            if error is None:
                raise
        finally:
            self._lock.release()

    def missing(self, start: int = 0, stop: int | None = None) -> list[int]:
        """The indices in start..stop-1 (None: the whole data set) that are not done, in order."""
        return [start + int(offset) for offset in np.flatnonzero(~self._done[start:stop])]

    def write_batch(self, items: Sequence[Item]) -> None:
        """Write finished samples so that each is either there with its label, or not there.

        The writer decides the file names (index and format), and fills them, the mask's sha256 and the size into the
        records.

        Raises:
            InputError: the disk does not take them, or an image, mask or record does not belong in this data set.
        """
        files: list[tuple[Path, bytes]] = []
        records: list[Record] = []
        for planned, picture, mask in items:
            record = self._named(planned, has_mask=mask is not None)
            if mask is not None:
                files.append((self.path / mask_name(record.index), encode_mask(mask)))
                record = dataclasses.replace(record, mask_sha256=mask_sha256(mask))
            data = encode_image(picture, record, self.manifest.image_format)
            files.append((self.path / record.file_name, data))
            records.append(dataclasses.replace(record, bytes=len(data)))
        if not items:
            return
        self._changed = True
        with plain_errors(self.path):
            self._place(files)
        self._log.append(records)
        self._done[[record.index for record in records]] = True

    def extend(self, count: int) -> None:
        """Raise the data set's target to ``count`` samples; no effect where it is that large already.

        Raises:
            InputError: the disk does not take the new ``dataset.json``.
        """
        if count <= self.manifest.count:
            return
        manifest = self.manifest.model_copy(update={"count": count})
        with plain_errors(self.path):
            manifest.write(self.path, self._rank)
        self._done = np.append(self._done, np.zeros(count - self.manifest.count, dtype=np.bool_))
        self._changed = True
        self.manifest = manifest

    def fail(self, index: int, reason: str, seeds: Sequence[int] = (), *, kept: bool = False) -> None:
        """Note in ``failures.jsonl`` what came out bad.

        Args:
            index: of the sample.
            reason: what is wrong with the image.
            seeds: that were tried, in order.
            kept: whether the last of them gave a good image, which was written; else the sample stays missing, and a
                later run tries it again.
        """
        append_failure(self.path, index, reason, seeds, kept=kept)

    def _settle_derived(self) -> None:
        """Write the derived files, unless nothing has changed and they are as they should be."""
        if self._changed or _log_sizes(self.path) != self._log_sizes:
            self._ledger = Ledger.read(self.path, self.manifest)
        if self._changed or not is_current(self.path, self.manifest, self._ledger):
            write_derived(self.path, self.manifest, self._ledger, self._rank)

    def _named(self, record: Record, *, has_mask: bool) -> Record:
        if record.plan_hash != self.manifest.plan_hash or not 0 <= record.index < self.manifest.count:
            raise InputError(
                f"Record {record.index} of the plan {record.plan_hash!r} does not belong in {self.path}, which holds "
                f"the samples 0..{self.manifest.count - 1} of the plan {self.manifest.plan_hash!r}."
            )
        record.soft_label(len(self.manifest.classes))
        return dataclasses.replace(
            record,
            file_name=image_name(record.index, self.manifest.image_format),
            mask_file_name=mask_name(record.index) if has_mask else None,
            mask_sha256=None,
        )

    def _place(self, files: Sequence[tuple[Path, bytes]]) -> None:
        """Temp files, fsync, rename masks, rename images, fsync folders."""
        moves = [(temp_path(path, self._rank), path) for path, _ in files]
        folders = dict.fromkeys(path.parent for path, _ in files)
        for folder in folders:
            self._make(folder)
        try:
            for (temp, _), (_, data) in zip(moves, files, strict=True):
                temp.write_bytes(data)
            for temp, _ in moves:
                sync_file(temp)
            # masks first: an image that is there has its mask
            for temp, path in sorted(moves, key=lambda move: move[1].parent.parent.name == "images"):
                temp.replace(path)
        except BaseException:
            for temp, _ in moves:
                with suppress(OSError):
                    temp.unlink(missing_ok=True)
            raise
        for folder in folders:
            sync_folder(folder)

    def _make(self, folder: Path) -> None:
        if folder in self._folders:
            return
        safe_join(self.path, folder.relative_to(self.path).as_posix())
        # no parents=True: a data set that was deleted during the run is not made again behind the user's back
        for level in (folder.parent, folder):
            level.mkdir(exist_ok=True)
            sync_folder(level.parent)
        self._folders.add(folder)

    def _settle_manifest(self) -> None:
        """Keep the folder's manifest if this run may go on with it, or write a new one into an empty folder."""
        if not (self.path / MANIFEST).exists():
            found = [entry.name for entry in self.path.iterdir() if not self._is_ours(entry.name)]
            if found:
                names = ", ".join(sorted(found)[:5])
                raise InputError(
                    f"{self.path} is neither empty nor a data set (no {MANIFEST}; it holds {names}). "
                    "Take a new folder; nothing was changed here."
                )
            self.manifest.write(self.path, self._rank)
            return
        there = Manifest.read(self.path)
        self.manifest = continued(self.path, there, self.manifest)
        if self.manifest != there:
            self.manifest.write(self.path, self._rank)

    def _is_ours(self, name: str) -> bool:
        return name in _JUNK or is_temp(name) or name.startswith(".ncm-")

    def _adopt(self, ledger: Ledger) -> None:
        """Take up images whose record the log has lost: they carry it themselves."""
        adopted: list[Record] = []
        form = LineForm(self.manifest)
        for index in map(int, np.flatnonzero((ledger.sizes >= 0) & ~ledger.done)):
            try:
                with plain_errors(self.path / image_name(index, self.manifest.image_format)):
                    adopted.append(self._read_back(index, form, ledger))
            except InputError as error:
                self.notes.append(f"{error} It is not done, and is made again.")
        if adopted:
            self._changed = True
            self._log.append(adopted)
            self._done[[record.index for record in adopted]] = True
            self.notes.append(
                f"{counted(len(adopted), 'image')} had no line in the log; the record in the file was taken"
            )

    def _read_back(self, index: int, form: LineForm, ledger: Ledger) -> Record:
        """The record inside of an intact image that belongs here and has its mask."""
        record, _ = sound_record(self.path, index, form)
        if record.mask_file_name is not None and not ledger.masks[index]:
            raise InputError(f"{record.file_name} has lost its mask {record.mask_file_name}.")
        check_mask(self.path, record)
        return record


def _log_sizes(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in log_paths(root)}
