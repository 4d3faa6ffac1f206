"""accelerate's state, for as long as one training needs it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

from ..errors import InputError


@contextmanager
def one_accelerator(*, cpu: bool, mixed_precision: str, device_placement: bool = True) -> Generator[Accelerator]:
    """The one accelerate state of this process; where nobody had set it up before, it is gone when the block ends.

    So trainings with other settings can follow one another in a process.

    Raises:
        InputError: accelerate was set up before, with other settings.
    """
    own = not is_initialized()
    try:
        accelerator = Accelerator(
            cpu=cpu or not (torch.cuda.is_available() or torch.backends.mps.is_available()),
            mixed_precision=mixed_precision,
            device_placement=device_placement,
        )
    except ValueError as error:
        raise InputError(
            f"accelerate was set up in this process already, with other settings ({error}). "
            "Train in a process of its own, or set it up with the same device and mixed_precision."
        ) from error
    try:
        yield accelerator
    finally:
        if own:
            accelerator.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)
