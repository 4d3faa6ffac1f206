"""The index of a data set, made anew from its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..wording import counted
from .disk import plain_errors
from .ledger import Ledger
from .line_form import LineForm
from .lock import all_ranks
from .manifest import Manifest, refuse_empty
from .rebuild import rebuild
from .record import Record
from .soundness import whole_record


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What ``index`` found and did."""

    path: Path
    images: int
    listed: int
    """Images whose record is in the index now."""
    did: tuple[str, ...]
    """What was written, a line each."""
    left: tuple[str, ...]
    """Images that were not listed, with the reason; they stay where they are."""

    def __str__(self) -> str:
        end = f"{self.path}: {self.listed} of {counted(self.images, 'image')} listed"
        return "\n".join([*self.did, *self.left, end])


def index(path: str | Path, *, break_lock: bool = False) -> Indexed:
    """Make a data set's logs, ``metadata.jsonl``, ``soft_labels.npy`` and preview anew from its images alone.

    Each image carries its record. Its file is read to the end, but its pixels are not decoded (``verify`` does that):
    a file that is cut off, or has bytes added, is not listed; nor is one whose mask is gone. Logs that agree with the
    images stay as they are; others are written anew, and the old ones are moved to ``damaged/``. Where pyarrow is
    installed, ``index.parquet`` is written, too, and from then on kept up to date.

    Args:
        path: the data set's folder, with its ``dataset.json``; no process may be writing it.
        break_lock: take the folder over from a dead process on another host.

    Raises:
        InputError: the folder is no data set or has no image, a process is writing it, or the disk does not take the
            files.

    Example:
        >>> import ncm_lib as ncm
        >>> print(ncm.index("aug"))  # doctest: +SKIP
        metadata.jsonl, soft_labels.npy, index.parquet and the preview were written anew
        aug: 1000 of 1000 images listed
    """
    root = Path(path)
    manifest = Manifest.read(root)
    left: list[str] = []
    with all_ranks(root, break_lock=break_lock) as ranks, plain_errors(root):
        ledger = Ledger.read(root, manifest, clean=ranks)
        refuse_empty(root, manifest, bool(np.any(ledger.sizes >= 0)))
        form = LineForm(manifest)

        def own_record(sample: int) -> Record | None:
            try:
                record = whole_record(root, sample, form)
            except (InputError, OSError) as error:
                left.append(f"{error} It is not listed; `ncm verify --repair` moves it aside.")
                return None
            if record.mask_file_name is None or ledger.masks[sample]:
                return record
            left.append(f"{record.file_name} has lost its mask {record.mask_file_name}; it is not listed.")
            return None

        did = rebuild(root, manifest, ledger, own_record, all_derived=True)
    images = int(np.count_nonzero(ledger.sizes >= 0))
    return Indexed(path=root, images=images, listed=images - len(left), did=(*ledger.removed, *did), left=tuple(left))
