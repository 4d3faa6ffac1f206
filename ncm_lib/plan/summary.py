"""What a plan holds, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..typing import Float64, Int64
from .sample import PlanTable

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """Numbers about n samples of a plan."""

    samples: int
    places: tuple[Int64[np.ndarray, " c"], ...]
    """Per place of the label (class A, class B), how many samples have each class there."""
    mean: float
    """Of the first class's weight."""
    quantiles: tuple[float, ...]
    """Of the first class's weight, at ``QUANTILES``."""
    histogram: Float64[np.ndarray, " 10"]
    """Share of the samples whose first class has a weight in [0, 0.1), [0.1, 0.2), ..., [0.9, 1]."""


def summarise(table: PlanTable, num_classes: int) -> PlanSummary:
    """Count classes and weights.

    Args:
        table: n samples, at least 1.
        num_classes: of the class list.

    Example:
        >>> from ncm_lib import ClassList, NoiseCutMix
        >>> summary = summarise(NoiseCutMix(classes=ClassList.of("abcd")).plan(0, 100), 4)
        >>> [count.sum().item() for count in summary.places], summary.places[0].tolist()
        ([100, 100], [25, 25, 25, 25])
    """
    first = table.weights[:, 0]
    counts, _ = np.histogram(first, bins=10, range=(0.0, 1.0))
    return PlanSummary(
        samples=len(table),
        places=tuple(np.bincount(column, minlength=num_classes).astype(np.int64) for column in table.class_ids.T),
        mean=float(first.mean()),
        quantiles=tuple(map(float, np.quantile(first, QUANTILES))),
        histogram=counts / len(table),
    )
