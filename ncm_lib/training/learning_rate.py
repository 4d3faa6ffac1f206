"""The learning rate of every step."""

from __future__ import annotations

import math

from .classifier_config import ClassifierTraining


def learning_rate(config: ClassifierTraining, step: int, steps: int) -> float:
    """The learning rate of update ``step`` of ``steps``.

    It rises linearly over the first ``warmup`` share of the steps; then it is constant, or falls along half a cosine:
    lr = peak * (1 + cos(pi * (step - w) / (steps - w))) / 2, with w the steps of the rise.

    Example:
        >>> config = ClassifierTraining(learning_rate=1.0, schedule="cosine", warmup=0.2)
        >>> [round(learning_rate(config, step, 10), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    rise = int(config.warmup * steps)
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2
