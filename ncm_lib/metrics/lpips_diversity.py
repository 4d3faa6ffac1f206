"""Diversity by LPIPS: how different two images of a class look, over a sample of pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InputError
from ..typing import Float64, Int64, UInt8
from .lpips import Lpips

_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class PairDistances:
    """LPIPS between images of one class."""

    mean: float | None
    """Mean over the pairs of a class, mean over the classes; None where no class has two images."""
    pairs: int
    """How many were compared."""


def pairs_within(class_ids: Int64[np.ndarray, " n"], limit: int, seed: int) -> Int64[np.ndarray, "m 2"]:
    """Pairs of different images of one class: all of a class, or ``limit`` of them drawn without repetition.

    Args:
        class_ids: of the images.
        limit: pairs per class, at least 1.
        seed: of the draw; a class's pairs do not depend on the other classes.

    Example:
        >>> pairs_within(np.array([0, 1, 0, 0]), 10, seed=0).tolist()
        [[0, 2], [0, 3], [2, 3]]
    """
    if limit < 1:
        raise InputError(f"{limit} pairs of a class cannot be compared; legal: 1 or more.")
    found = [np.zeros((0, 2), dtype=np.int64)]
    for class_id in np.unique(class_ids):
        rows = np.flatnonzero(class_ids == class_id)
        total = len(rows) * (len(rows) - 1) // 2
        if total <= limit:
            chosen = np.arange(total)
        else:
            drawn = np.random.default_rng([seed, int(class_id)]).choice(total, limit, replace=False, shuffle=False)
            chosen = np.sort(drawn)
        # pair number p = second (second - 1) / 2 + first, with first < second
        second = np.floor((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
        first = chosen - second * (second - 1) // 2
        found.append(np.stack([rows[first], rows[second]], axis=1))
    return np.concatenate(found)


def lpips_diversity(
    network: Lpips,
    read: Callable[[int], UInt8[np.ndarray, "3 h w"]],
    class_ids: Int64[np.ndarray, " n"],
    *,
    pairs: int,
    seed: int = 0,
) -> PairDistances:
    """Mean LPIPS between two images of one class.

    Args:
        network: from ``load_lpips``.
        read: the image of a row; all are of one size.
        class_ids: of the images.
        pairs: at most so many per class.
        seed: which pairs.

    Returns:
        The mean and the number of pairs.

    Raises:
        InputError: the images are too small for the network.
    """
    chosen = pairs_within(class_ids, pairs, seed)
    distances: list[Float64[np.ndarray, " n"]] = []
    for start in range(0, len(chosen), _BATCH):
        one, other = (
            torch.from_numpy(np.stack([read(int(row)) for row in rows])) for rows in chosen[start : start + _BATCH].T
        )
        distances.append(network.distances(one, other).double().numpy())
    if not distances:
        return PairDistances(mean=None, pairs=0)
    values, classes = np.concatenate(distances), class_ids[chosen[:, 0]]
    means = [values[classes == class_id].mean() for class_id in np.unique(classes)]
    return PairDistances(mean=float(np.mean(means)), pairs=len(values))
