"""A progress bar for commands that go through images one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .bars import Bar


@contextmanager
def counter() -> Iterator[Callable[[int, int], None]]:
    """Give a function of (done, count) that shows both, images per second and the time that is left."""
    bar: Bar | None = None

    def show(done: int, count: int) -> None:
        nonlocal bar
        bar = bar or Bar(count, "images")
        bar.reach(done)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
