"""A progress bar with images per second and the time that is left."""

from __future__ import annotations

import sys
from types import TracebackType

from ..engine.generate import Progress
from ..wording import counted
from .bars import Bar


class ProgressBar:
    """``with ProgressBar() as bar: generate(..., on_progress=bar)``."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._last: Progress | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __call__(self, progress: Progress) -> None:
        """Show how many images are written; the time left counts the steps of unfinished batches, too."""
        self._last = progress
        if self._bar is None:
            self._bar = Bar(progress.count, "images", initial=progress.done - progress.made)
        self._bar.reach(progress.done, progress.fraction)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._last is not None and isinstance(error, KeyboardInterrupt):
            # what was being written when the signal came is on disk by now, and may be one batch more than this
            made = counted(self._last.made, "image")
            print(f"{made} made by this run, {self._last.done} of {self._last.count} are there", file=sys.stderr)
