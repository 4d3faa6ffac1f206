"""Libraries that talk while a progress bar is drawn."""

from __future__ import annotations


def quiet() -> None:
    """Let transformers tell errors only; loading draws no bars of its own."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
