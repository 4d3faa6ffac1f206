"""Out of memory: telling it apart from other errors, and letting go of what is cached."""

from __future__ import annotations

import gc

import torch

# what the CPU allocator, MPS and older CUDA paths raise as a plain RuntimeError
_PHRASES = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host could not give the memory that was asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def release_memory() -> None:
    """Give cached blocks back to the device; call it after the failed call's tensors are gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
