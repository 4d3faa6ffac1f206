"""The batch size that a device has memory for, found by trying."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from torch.profiler import ProfilerActivity, profile

from ..errors import InputError
from ..methods.base import Method
from ..plan.sample import NoisedImage, Sample
from .memory import is_out_of_memory, release_memory
from .render import Renderer

LARGEST = 64
LARGEST_ON_CPU = 8
"""A CPU is busy with a few rows already; larger batches only take memory."""
_SHARE_OF_FREE = 0.5


def fitting_batch(renderer: Renderer, method: Method, count: int) -> int:
    """The largest power of two of samples, up to ``count``, that a model call takes.

    On a GPU by attempts: one step of a batch while the batch before is decoded, as a run does it, twice as many each
    time until memory runs out. On a CPU, where that would end the process: as many as fit into half of the free memory
    by the peak of a single sample, at most 8.

    Args:
        renderer: of the run; each size is tried with its model and image size.
        method: resolved.
        count: of the data set.

    Raises:
        InputError: a single sample does not fit.
    """
    settings = renderer.settings
    # a cache keeps most when it has seen two steps
    trial = renderer.with_steps(1 if renderer.model.speed.cache == "off" else 2)
    samples = [at_full_strength(sample) for sample in method.plan(0, min(count, LARGEST))]
    if renderer.model.device.type == "cpu":
        free = free_memory()
        bound = LARGEST_ON_CPU if free is None else int(free * _SHARE_OF_FREE // peak_bytes(trial, samples[0]))
        return _power_of_two(max(min(bound, LARGEST_ON_CPU, len(samples)), 1))
    found = _by_attempts(lambda size: _try(trial, samples[:size]), len(samples))
    if not found:
        raise InputError(
            f"A single sample of {settings.width} x {settings.height} pixels in {settings.dtype} does not fit into the "
            f"memory of {renderer.model.device}. Take smaller images, a smaller dtype (--dtype fp16), or a device with "
            "more memory."
        )
    return found


def at_full_strength(sample: Sample) -> Sample:
    """The sample, made to run all steps of a trial wherever it starts."""
    if not isinstance(sample.start, NoisedImage):
        return sample
    return replace(sample, start=replace(sample.start, strength=1.0))


def peak_bytes(renderer: Renderer, sample: Sample) -> int:
    """The most bytes that torch holds at a time for one sample, beside the weights (CPU)."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        renderer.images(renderer.latents([sample]))
    results = profiled.profiler
    events: list[Any] = [] if results is None or results.kineto_results is None else results.kineto_results.events()
    held = most = 0
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return max(most, 1)


def free_memory() -> int | None:
    """Bytes of this machine that are free; None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _by_attempts(attempt: Callable[[int], bool], limit: int) -> int:
    """The largest power of two up to ``limit`` that the attempts allow; 0 where not even one does."""
    found, size = 0, 1
    while size <= limit and attempt(size):
        found, size = size, 2 * size
    return found


def _try(renderer: Renderer, samples: Sequence[Sample]) -> bool:
    """Whether a batch fits beside the decoding of the one before."""
    try:
        latents = renderer.latents(samples)
        with ThreadPoolExecutor(max_workers=1) as pool:
            decoding = pool.submit(renderer.images, latents)
            renderer.latents(samples)
            decoding.result()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    else:
        fits = True
    # the failed call's tensors are gone with its traceback
    if not fits:
        release_memory()
    return fits


def _power_of_two(bound: int) -> int:
    return 1 << (bound.bit_length() - 1)
