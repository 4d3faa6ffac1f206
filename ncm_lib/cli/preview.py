"""``ncm preview``: the picture of a data set, made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Make the data set's preview.png again: images with the outline of their masks, their classes and weights.

    For example:

    - ncm preview aug
    - ncm preview aug --count 64
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    count: int = 32
    """How many samples, spread evenly over the data set."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..store.preview import preview

        print(preview(self.dataset, cells=self.count))
        return 0
