"""When to stop: the outputs' variance over a window falls while the picture forms, and rises with the noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ..typing import Float
from .config import StoppingConfig

_MOST_VALUES = 16384


class WindowedVariance:
    """The variance of the last W outputs, and how long ago it was at its lowest.

    VAR(i) = 1/W sum_w ||x_w - mean||^2 / size, over the outputs i-W+1..i. Of outputs with more than 16,384 values, as
    many are watched, at seeded places: the mean over them estimates the mean over all, and the window stays small.

    Args:
        config: window and patience.
        size: values of an output.
        seed: picks the places.

    Example:
        >>> watch = WindowedVariance(StoppingConfig(window=2, patience=3), 1, seed=0)
        >>> [watch.add(torch.tensor([value])) for value in (0.0, 2.0, 3.0)]
        [nan, 1.0, 0.25]
        >>> watch.lowest_at, watch.patience_is_over
        (3, False)

    Reference:
        Algorithm 1 (ES-WMV) in Wang et al., Early Stopping for Deep Image Prior, TMLR 2023, arXiv 2112.06074.
    """

    def __init__(self, config: StoppingConfig, size: int, *, seed: int) -> None:
        self._config = config
        self._places = None
        if size > _MOST_VALUES:
            order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
            self._places = order[:_MOST_VALUES].sort().values
        values = min(size, _MOST_VALUES)
        # sums in float64, so that adding and taking away leaves nothing behind; CPU: not every device has it
        self._ring = torch.zeros(config.window, values, dtype=torch.float64)
        self._sum = torch.zeros(values, dtype=torch.float64)
        self._squares = 0.0
        self._count = 0
        self._lowest = float("inf")
        self.lowest_at = 0
        """Outputs up to the one at which the lowest variance was seen; 0 before the window is full."""

    def add(self, output: Float[Tensor, " ..."]) -> float:
        """Take the next output; the variance, NaN while the window is not full."""
        settled = self.patience_is_over
        values = output.detach().flatten()
        if self._places is not None:
            values = values[self._places.to(values.device)]
        new = values.to("cpu", torch.float64)
        old = self._ring[self._count % len(self._ring)]
        self._sum += new - old
        self._squares += float(new @ new - old @ old)
        old.copy_(new)
        self._count += 1
        if self._count < len(self._ring):
            return float("nan")
        mean = self._sum / len(self._ring)
        variance = max(0.0, (self._squares / len(self._ring) - float(mean @ mean)) / len(mean))
        if variance < self._lowest and not settled:
            self._lowest, self.lowest_at = variance, self._count
        return variance

    @property
    def is_lowest(self) -> bool:
        """Whether the last output gave the lowest variance so far."""
        return 0 < self.lowest_at == self._count

    @property
    def patience_is_over(self) -> bool:
        """Whether there was no new minimum for as many outputs as the patience."""
        return 0 < self.lowest_at <= self._count - self._config.patience
