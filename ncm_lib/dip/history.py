"""What a restoration gives back, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How near a result came to the clean image; ssim is NaN for images that are smaller than its window."""

    iteration: int
    """Counted from 1."""
    psnr: float
    """Of the average, the result if the run ended here; in dB."""
    ssim: float
    """Of the average."""
    output_psnr: float
    """Of the network's output in this iteration; in dB."""
    output_ssim: float
    """Of the output."""


@dataclass(frozen=True, kw_only=True)
class History:
    """How the restoration of one image went; entry i of a list belongs to iteration i + 1."""

    loss: tuple[float, ...]
    """Distance between the output, spoilt in the same way, and the image; NaN where an iteration was thrown away."""
    variance: tuple[float, ...]
    """Of the outputs in the window; NaN before it was full, empty without early stopping."""
    quality: tuple[Quality, ...]
    """Against the clean image, where there is one."""
    backtracks: tuple[int, ...]
    """Iterations in which the network went back to an earlier state, and on with half of the learning rate."""
    seconds: float
    """Wall time, measuring quality left out."""


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """Restored images and how it went."""

    image: Tensor
    """[N, C, H, W] or [C, H, W] as they came, in [0, 1], float32 on the CPU; super-resolution enlarges."""
    history: tuple[History, ...]
    """One per image."""
    stopped_at: tuple[int, ...]
    """Per image, the iteration that the result is from, counted from 1."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a callback is shown after each iteration."""

    index: int
    """Of the image in its batch."""
    count: int
    """Images in the batch."""
    iteration: int
    """Counted from 1."""
    iterations: int
    """At most so many."""
    loss: float
    """Of this iteration; NaN where it was thrown away."""
    quality: Quality | None
    """Where there is a clean image and this iteration is measured."""
    picture: Callable[[], Tensor]
    """Gives the result as it is now, [C, H, W] in [0, 1] on the CPU; costs nothing unless it is called."""


OnStep: TypeAlias = Callable[[Step], None]
