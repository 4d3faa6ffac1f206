"""``ncm verify``: is everything there, readable and consistent?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Decode every image and mask, and check records, labels, masks, sizes and counts.

    Exit code 0: the data set is complete and sound. 1: something is wrong or missing. With --repair, 0 and 1 tell how
    it is afterwards: 1 is usual after damage, until the command that generated the data set has made what is missing.
    2: no data set, or a process is writing it.

    For example:

    - ncm verify aug
    - ncm verify aug --repair
    """

    interrupted: ClassVar[str] = "nothing is lost; the same command begins again"

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    repair: bool = False
    """Put it in order: move damaged files to its folder damaged/, drop their records, write the index anew. Says what
    it did, line by line; deletes nothing."""
    break_lock: bool = False
    """With --repair: take the folder over from another machine's process; only when that one is known to be dead."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..store.repair import repair
        from ..store.verify import verify

        if self.repair:
            repaired = repair(self.dataset, break_lock=self.break_lock)
            print(repaired)
            return 0 if repaired.complete else 1
        report = verify(self.dataset)
        print(report)
        return 0 if report.ok else 1
