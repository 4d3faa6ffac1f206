"""The clocks of ``generate.py``, and the interval around a median."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from generate_ways import Work


def on_gpu(work: Work) -> bool:
    return work.model.device.type == "cuda"


def timed(work: Work, call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the wall clock and of CPU, until the device has done all of it."""
    if on_gpu(work):
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    if on_gpu(work):
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def matmul_rate(work: Work, side: int) -> float:
    """Operations per second of a matrix product in the model's dtype: the best of ten."""
    one = torch.randn(side, side, device=work.model.device, dtype=work.model.dtype)
    times = [timed(work, lambda: one @ one)[0 if on_gpu(work) else 1] for _ in range(10)]
    return 2 * side**3 / min(times)


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the median, by 10,000 resamples."""
    picks = np.random.default_rng(0).integers(len(ratios), size=(10_000, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5])
    return float(low), float(high)
