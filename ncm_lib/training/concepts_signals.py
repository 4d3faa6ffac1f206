"""A moment in which a signal has to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Generator[None]:
    """Ctrl-C and SIGTERM that come inside are delivered when the block has ended.

    An update of the weights that is broken off half-way could neither be kept nor taken back.
    """
    if threading.current_thread() is not threading.main_thread():  # signals only ever reach the main one
        yield
        return
    came: list[tuple[int, Any]] = []
    before = {number: signal.signal(number, lambda *what: came.append(what)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0][0])
