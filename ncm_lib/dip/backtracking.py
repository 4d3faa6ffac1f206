"""Going back to an earlier state where training diverges."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import nn

from .average import Average

_INTERVAL = 50
_MOST = 10
# 5 dB, as in the paper's code
_WORSE = {"mse": 10**0.5, "l1": 10**0.25}


class Backtracking:
    """Remembers network, optimizer and average, and goes back to them when the loss says that training diverges.

    It does where a loss is not finite, or where the mean loss of 50 iterations is 5 dB above that of the 50 before.
    Training goes on with half of the learning rate, so that the same does not happen again.

    Args:
        network: what is trained.
        optimizer: its optimizer.
        average: of its outputs.
        loss: mse or l1, for which 5 dB are different ratios.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, average: Average, loss: Literal["mse", "l1"]
    ) -> None:
        self._network, self._optimizer, self._average = network, optimizer, average
        self._worse = _WORSE[loss]
        self._level = math.inf
        self._losses: list[float] = []
        self.iterations: list[int] = []
        """Those after which it went back, counted from 1."""
        self._keep()

    def stands(self, iteration: int, loss: float) -> bool:
        """Whether an iteration's loss is fine; if not, everything is back at the last state that was."""
        self._losses.append(loss)
        if math.isfinite(loss):
            if len(self._losses) < _INTERVAL:
                return True
            level = sum(self._losses) / len(self._losses)
            self._losses = []
            if level <= self._worse * self._level:
                self._level = level
                self._keep()
                return True
        self._losses = []
        self._return()
        self.iterations.append(iteration)
        return False

    @property
    def is_hopeless(self) -> bool:
        """Whether it went back so often that more of it would not help."""
        return len(self.iterations) > _MOST

    def _keep(self) -> None:
        kept = self._network.state_dict(), self._optimizer.state_dict(), self._average.state()
        self._kept = copy.deepcopy(kept)

    def _return(self) -> None:
        rate: float = self._optimizer.param_groups[0]["lr"]
        # a copy again: loading makes the state's own tensors the optimizer's
        network, optimizer, average = copy.deepcopy(self._kept)
        self._network.load_state_dict(network)
        self._optimizer.load_state_dict(optimizer)
        self._average.load(average)
        for group in self._optimizer.param_groups:
            group["lr"] = rate / 2
