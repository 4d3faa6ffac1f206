"""The exponential average of the outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from ..typing import Float


class Average:
    """The exponential average of the outputs, free of its start.

    a_i = d a_(i-1) + (1 - d) x_i, divided by 1 - d^i.

    Args:
        decay: d, in [0, 1); 0 is the last output itself.

    Example:
        >>> average = Average(0.5)
        >>> for value in (0.0, 3.0):
        ...     average.add(torch.full((1, 1, 1, 1), value))
        >>> float(average.value)
        2.0
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._sum: Tensor | None = None
        self._weight = 0.0

    def add(self, output: Float[Tensor, "1 c h w"]) -> None:
        """Take the next output."""
        if self._sum is None:
            self._sum = torch.zeros_like(output)
        self._sum.lerp_(output, 1 - self._decay)
        self._weight += (1 - self._decay) * (1 - self._weight)

    @property
    def value(self) -> Float[Tensor, "1 c h w"] | None:
        """The average; None before the first output."""
        return None if self._sum is None else self._sum / self._weight

    def state(self) -> tuple[Tensor | None, float]:
        """What ``load`` takes."""
        return self._sum, self._weight

    def load(self, state: tuple[Tensor | None, float]) -> None:
        """Go back to a state."""
        self._sum, self._weight = state
