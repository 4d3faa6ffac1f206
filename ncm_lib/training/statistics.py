"""Is a row better than the baseline, or was it luck?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean difference of pairs with its t interval."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided; 1 where nothing can be said, which is with a single pair."""
    pairs: int


def paired_difference(values: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> PairedDifference:
    """Compare pairs of numbers that share a seed.

    With d_i the differences, n of them, m their mean and s their standard deviation:

        m +- t_{(1 + level) / 2, n - 1} * s / sqrt(n)

    Args:
        values: of a row, a number per seed.
        baseline: of the baseline, for the same seeds.
        level: of the interval.

    Example:
        >>> found = paired_difference([0.7, 0.8, 0.75], [0.6, 0.7, 0.7])
        >>> round(found.mean, 4), round(found.low, 4), round(found.high, 4)
        (0.0833, 0.0116, 0.155)
    """
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return PairedDifference(mean=mean, low=-math.inf, high=math.inf, p=1.0, pairs=count)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    if error == 0:
        return PairedDifference(mean=mean, low=mean, high=mean, p=float(mean == 0), pairs=count)
    reach = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return PairedDifference(mean=mean, low=mean - reach, high=mean + reach, p=p, pairs=count)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values for having looked at several rows.

    The k-th smallest of m becomes the largest of (m - j + 1) * p_j over j <= k, at most 1.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}

    Reference:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    ordered = sorted(p_values, key=p_values.__getitem__)
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(ordered):
        largest = max(largest, min((len(ordered) - place) * p_values[name], 1.0))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
