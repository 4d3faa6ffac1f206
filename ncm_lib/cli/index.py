"""``ncm index``: the index of a data set, made anew from its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Index:
    """Make logs, metadata.jsonl, soft_labels.npy, preview and, with pyarrow, index.parquet anew from the images.

    For when they were lost or changed: each image carries its own record. Exit code 0: every image is listed. 1: some
    are not, because their file is cut off, carries no record, or has lost its mask; they stay where they are.

    For example:

    - ncm index aug
    - ncm index aug --break-lock
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    break_lock: bool = False
    """Take the folder over from another machine's process; only when that one is known to be dead."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..store.index import index

        result = index(self.dataset, break_lock=self.break_lock)
        print(result)
        return 1 if result.left else 0
