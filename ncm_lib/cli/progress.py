"""A progress bar with images per second and the time that is left."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from ..engine.generate import Progress


class ProgressBar:
    """``with ProgressBar() as bar: generate(..., on_progress=bar)``."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._last: Progress | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is, unfinished batches counted by their steps."""
        self._last = progress
        if self._bar is None:
            self._bar = tqdm(
                total=progress.count,
                initial=progress.done - progress.made,
                unit=" images",
                bar_format="{desc}{percentage:3.0f}% |{bar}| {n:.0f}/{total} images {rate_fmt}  ETA {remaining}",
            )
        work = self._bar.total - self._bar.initial
        self._bar.update(self._bar.initial + work * progress.fraction - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._last is not None and isinstance(error, KeyboardInterrupt):
            # what was being written when the signal came is on disk by now, and may be one batch more than this
            print(
                f"{self._last.made} images made by this run, {self._last.done} of {self._last.count} are there",
                file=sys.stderr,
            )
