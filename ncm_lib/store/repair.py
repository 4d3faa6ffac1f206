"""Puts a damaged data set in order, so that the generation that made it can make what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..wording import counted
from .damaged import set_aside
from .disk import plain_errors
from .layout import image_name, mask_name
from .ledger import Ledger
from .line_form import LineForm
from .lock import all_ranks
from .manifest import Manifest
from .rebuild import rebuild
from .record import Record
from .soundness import check_label, check_mask, sound_record


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What ``repair`` did."""

    path: Path
    count: int
    """Target size."""
    done: int
    """Samples that are there and sound."""
    did: tuple[str, ...]
    """A line for each thing that was changed; empty where nothing had to be."""
    left: tuple[str, ...] = ()
    """What it could not mend, a line each."""
    foreign: tuple[str, ...] = ()
    """What lies in the folders and is none of the format's; it was left where it is."""

    @property
    def complete(self) -> bool:
        """Whether the data set is sound and has all its samples now."""
        return self.done == self.count and not self.left

    def __str__(self) -> str:
        missing = self.count - self.done
        end = f"{self.path}: {self.done} of {counted(self.count, 'sample')} there and sound"
        if missing:
            end += f"; the command that generated the data set makes the other {missing}"
        return "\n".join([*self.did, *self.left, *self.foreign, end])


def repair(path: str | Path, *, break_lock: bool = False) -> Repair:
    """Check a data set as ``verify`` does, and put it in order; nothing is deleted but left-over temp files.

    - A sample whose image or mask is damaged, or whose mask is gone, is taken out of use: its image, and a damaged
      mask, are moved to the same place below ``damaged/`` and noted in ``damaged/notes.jsonl``.
    - Records of such samples, and of images that are gone, are dropped from the logs. An image that the logs do not
      know, or know otherwise, is listed by the record that it carries.
    - Logs that have to change are written anew, and the old ones are moved to ``damaged/``. ``metadata.jsonl``,
      ``soft_labels.npy``, ``index.parquet`` and the preview are written anew where they are not as the records say.

    The command that generated the data set then makes what is missing. A repair that was cut short goes on when it is
    run again.

    Args:
        path: the data set's folder; no process may be writing it.
        break_lock: take the folder over from a dead process on another host.

    Raises:
        InputError: the folder is no data set, a process is writing it, or the disk does not take the changes.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    with all_ranks(root, break_lock=break_lock) as ranks, plain_errors(root):
        ledger = Ledger.read(root, manifest, clean=ranks)
        bench = _Bench(root=root, ledger=ledger, form=LineForm(manifest))
        changes = rebuild(root, manifest, ledger, bench.own_record)
        after = Ledger.read(root, manifest)
    return Repair(
        path=root,
        count=manifest.count,
        done=int(after.done.sum()),
        did=(*ledger.removed, *bench.did, *changes),
        left=tuple(after.damage),
        foreign=tuple(after.foreign),
    )


@dataclass(kw_only=True)
class _Bench:
    """Takes one image after the other, with its mask, and sets aside what is not sound."""

    root: Path
    ledger: Ledger
    form: LineForm
    did: list[str] = field(default_factory=list[str])

    def own_record(self, index: int) -> Record | None:
        """The record of a sample that is sound; None for all others."""
        name = image_name(index, self.form.manifest.image_format)
        try:
            record, _ = sound_record(self.root, index, self.form)
            check_label(record)
        except (InputError, OSError) as error:
            self._set_aside(name, str(error))
            return None
        mask = record.mask_file_name
        if mask is not None and not self.ledger.masks[index]:
            self._set_aside(name, f"its mask {mask} is gone")
            return None
        try:
            check_mask(self.root, record)
        except (InputError, OSError) as error:
            self._set_aside(mask_name(index), str(error))
            self._set_aside(name, f"its mask {mask} is damaged")
            return None
        return record

    def _set_aside(self, name: str, problem: str) -> None:
        problem = problem.removeprefix(name).lstrip(": ").rstrip(".")
        self.did.append(f"{name}: {problem}; moved to {set_aside(self.root, name, problem)}")
