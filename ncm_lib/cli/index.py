"""``ncm index``: the index of a data set, made anew from its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro


@dataclass(frozen=True, kw_only=True)
class Index:
    """Make the index anew from the images: logs, metadata.jsonl, soft_labels.npy, preview, with pyarrow index.parquet.

    For when they were lost or changed: each image carries its own record. Exit code 0: every image is listed. 1: some
    are not, because their file is cut off, carries no record, or has lost its mask; they stay where they are.

    For example:

    - ncm index aug
    - ncm index aug --break-lock
    """

    interrupted: ClassVar[str] = "nothing is lost; the same command begins again"

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
