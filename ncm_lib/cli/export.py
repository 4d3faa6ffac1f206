"""``ncm export``: a data set for other programs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from ..wording import counted


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a data set in the format of other programs, into a new folder. Interrupted, it leaves nothing behind.

    For example:

    - ncm export aug --to webdataset --out aug-shards
    - ncm export aug --to imagefolder-hard-labels --min-weight 0.7 --out aug-folders
    """

    interrupted: ClassVar[str] = "nothing is written; the same command starts the export again"

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set. Image files are taken as they are; `ncm verify` finds damaged ones."""
    to: Literal["webdataset", "parquet", "imagefolder-hard-labels"]
    """webdataset: tar shards of images, soft labels and records. parquet: the same in tables, which Hugging Face's
    datasets decodes. imagefolder-hard-labels: a folder per class, each image in that of its largest weight; takes no
    space on the same disk, and the soft labels are lost."""
    out: Path
    """The folder to make; one that exists is refused."""
    shard_samples: int | None = None
    """Images per shard or Parquet file, at most. Without it: 1000 or 10000."""
    shard_mb: int | None = None
    """Megabytes of images per shard or Parquet file, at most. Without it: 256 or 512."""
    min_weight: float | None = None
    """imagefolder-hard-labels only: leave out images whose largest weight is below it. Higher: purer classes, fewer
    images."""
    filter: str | None = None
    """Name of a filter (`ncm filter`): leave out the samples that it does not keep."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..store.export import export
        from .counter import counter

        try:
            with counter() as show:
                exported = export(
                    self.dataset,
                    to=self.to,
                    out=self.out,
                    shard_samples=self.shard_samples,
                    shard_mb=self.shard_mb,
                    min_weight=self.min_weight,
                    filter=self.filter,
                    on_progress=show,
                )
        except KeyboardInterrupt as error:
            raise type(error)(f"nothing is at {self.out}; the same command starts the export again") from error
        for note in exported.notes:
            print(f"note: {note}", file=sys.stderr)
        file = {"webdataset": "shard", "parquet": "Parquet file"}.get(self.to, "class folder")
        print(f"{exported.path}: {counted(exported.count, 'image')} in {counted(exported.files, file)}")
        return 0
