"""``ncm verify``: is everything there, readable and consistent?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Decode every image and mask, and check records, labels and sizes. Exit code 1 where something is wrong.

    For example:

    - ncm verify aug
    - ncm verify ncm-demo
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..store.verify import verify

        report = verify(self.dataset)
        print(report)
        return 0 if report.ok else 1
