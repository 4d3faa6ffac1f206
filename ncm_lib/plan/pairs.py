"""Which class leads a sample, and which other class it is paired with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..maths.rng import keyed_permutation
from ..typing import Float64, Int64

PairPolicy = Literal["uniform", "balanced", "confusion", "any"]
"""uniform: any other class. balanced: each other class equally often. confusion: the classes that a classifier takes
for class A. any: also class A itself, as in NoiseCutMix's published code."""


@dataclass(frozen=True, kw_only=True)
class Leads:
    """The class that leads each of n samples, and how many samples it has led before by its own count."""

    class_ids: Int64[np.ndarray, " n"]
    occurrence: Int64[np.ndarray, " n"]
    """From 0; no two samples with the same leading class share a number."""


def leads(index: Int64[np.ndarray, " n"], counts: Sequence[int], seed: int, purpose: str = "class_a") -> Leads:
    """Share the samples out to the classes by their counts, in a shuffled order.

    Epoch e is made of the samples e*S..(e+1)*S - 1 with S = sum(counts). A permutation keyed by (seed, e) sends each
    sample to a slot 0..S-1, and the first counts[0] slots belong to class 0, the next counts[1] to class 1, and so on.
    So an epoch has every class exactly as often as its count says, and a sample costs O(log C) wherever it stands.

    Args:
        index: of the samples, at least 0.
        counts: per class, how many samples of one epoch it leads; at least 0 each, sum at least 1.
        seed: in [0, 2**63).
        purpose: names the stream.

    Returns:
        Classes and occurrences. The samples of E whole epochs have the occurrences 0..E*counts[c] - 1 of class c, each
        once; where the counts are 1, occurrences rise with the index.

    Raises:
        InputError: the seed is out of its range, or the counts are all 0.

    Example:
        >>> first = leads(np.arange(6), [1, 0, 2], seed=0)
        >>> np.bincount(first.class_ids).tolist(), sorted(first.occurrence[first.class_ids == 2].tolist())
        ([2, 0, 4], [0, 1, 2, 3])
    """
    per_class = np.asarray(counts, dtype=np.int64)
    ends = np.cumsum(per_class)
    size = int(ends[-1])
    epoch, position = np.divmod(index, max(size, 1))
    slot = keyed_permutation(position, size, seed, purpose, epoch)
    class_ids = np.searchsorted(ends, slot, side="right").astype(np.int64)
    within = slot - (ends - per_class)[class_ids]
    return Leads(class_ids=class_ids, occurrence=epoch * per_class[class_ids] + within)


def uniform_partners(
    class_a: Int64[np.ndarray, " n"], uniform: Float64[np.ndarray, " n"], num_classes: int
) -> Int64[np.ndarray, " n"]:
    """Draw another class than ``class_a``, all of them alike.

    Args:
        class_a: in [0, num_classes).
        uniform: one number in [0, 1) per sample.
        num_classes: C, at least 2.

    Returns:
        Classes in [0, C), never class A.

    Example:
        >>> uniform_partners(np.array([0, 0, 2]), np.array([0.0, 0.9, 0.9]), 3).tolist()
        [1, 2, 1]
    """
    other = (uniform * (num_classes - 1)).astype(np.int64)
    return _skip(class_a, other)


def balanced_partners(first: Leads, num_classes: int, seed: int) -> Int64[np.ndarray, " n"]:
    """Pair class A with each other class equally often.

    The occurrences of class A come in blocks of C - 1; within a block, a permutation keyed by (seed, A, block) goes
    through all the other classes. So over m occurrences of A, each other class has its floor or ceiling of m / (C - 1).

    Args:
        first: the leading classes with their occurrences.
        num_classes: C, at least 2.
        seed: in [0, 2**63).

    Returns:
        Classes in [0, C), never class A.

    Example:
        >>> first = leads(np.arange(12), [1] * 4, seed=0)
        >>> pairs = zip(first.class_ids.tolist(), balanced_partners(first, 4, seed=0).tolist())
        >>> len(set(pairs))  # all 4 * 3 pairs
        12
    """
    block, place = np.divmod(first.occurrence, num_classes - 1)
    # every (class, block) is an epoch of its own, so that no two classes go through the others in step
    epoch = block * num_classes + first.class_ids
    return _skip(first.class_ids, keyed_permutation(place, num_classes - 1, seed, "class_b_balanced", epoch))


def confusion_partners(
    class_a: Int64[np.ndarray, " n"], uniform: Float64[np.ndarray, " n"], confusion: Sequence[Sequence[float | int]]
) -> Int64[np.ndarray, " n"]:
    """Draw the other class as often as a classifier takes class A for it.

    P(B = j | A = i) = confusion[i][j] / (sum of row i without its diagonal), by inverse CDF.

    Args:
        class_a: in [0, C).
        uniform: one number in [0, 1) per sample.
        confusion: C rows of C finite numbers >= 0, row: true class, column: what it was taken for. Counts or rates:
            rows need no common scale, and the diagonal is not read. A row without confusion draws uniformly.

    Returns:
        Classes in [0, C), never class A.

    Example:
        >>> matrix = [[50, 0, 3], [0, 9, 0], [1, 1, 5]]
        >>> confusion_partners(np.array([0, 0, 1, 1, 2]), np.array([0.0, 0.99, 0.0, 0.99, 0.6]), matrix).tolist()
        [2, 2, 0, 2, 1]
    """
    partners = np.empty(len(class_a), dtype=np.int64)
    order = np.argsort(class_a, kind="stable")
    for row in map(int, np.unique(class_a)):
        low, high = np.searchsorted(class_a, [row, row + 1], sorter=order)
        members = order[low:high]
        partners[members] = np.searchsorted(_cdf(confusion[row], row), uniform[members], side="right")
    return partners


def _cdf(row: Sequence[float | int], own: int) -> NDArray[np.float64]:
    weights = np.asarray(row, dtype=np.float64)
    weights = np.where(np.arange(len(weights)) == own, 0.0, weights)
    if not weights.any():
        weights = np.where(np.arange(len(weights)) == own, 0.0, 1.0)
    # first by the largest: the sum of finite numbers may be infinite
    cdf = np.cumsum(weights / weights.max())
    # exactly 1 from the last class with a weight on, and every uniform number is below that
    return cdf / cdf[-1]


def _skip(class_a: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions among the other C - 1 classes as class ids: those from class A on move up by one."""
    return other + (other >= class_a)
