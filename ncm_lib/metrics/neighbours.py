"""Distances between images in a network's features: diversity, and copies of training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..typing import Float32, Float64, Int64

_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """For each image, the nearest one of others."""

    distances: Float64[np.ndarray, " n"]
    rows: Int64[np.ndarray, " n"]
    """Of the others."""


def unit(features: Float32[np.ndarray, "n width"]) -> Float32[np.ndarray, "n width"]:
    """Rows at length 1, so that distances are from 0 to 2 whatever the network's scale is."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.float32(1e-12))


def nearest(
    features: Float32[np.ndarray, "n width"], others: Float32[np.ndarray, "m width"], *, same: bool = False
) -> Nearest:
    """Find the nearest other of every image.

    Args:
        features: rows.
        others: at least one row, two where they are the same.
        same: both are the same images; then none is its own neighbour.

    Example:
        >>> rows = np.eye(3, dtype=np.float32)
        >>> nearest(rows[:1], rows[::-1].copy()).rows.tolist()
        [2]
    """
    distances, rows = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    against = torch.from_numpy(others).double()
    for start in range(0, len(features), _BLOCK):
        table = torch.cdist(torch.from_numpy(features[start : start + _BLOCK]).double(), against)
        if same:
            table[torch.arange(len(table)), torch.arange(start, start + len(table))] = torch.inf
        found = table.min(dim=1)
        distances.append(found.values.numpy())
        rows.append(found.indices.numpy())
    return Nearest(distances=np.concatenate(distances), rows=np.concatenate(rows))


def diversity(features: Float32[np.ndarray, "n width"], class_ids: Int64[np.ndarray, " n"]) -> float | None:
    """Mean distance between two images of one class, mean over the classes.

    Args:
        features: rows.
        class_ids: of the images.

    Returns:
        The mean, or None where no class has two images.

    Example:
        >>> diversity(np.array([[0, 0], [3, 4], [9, 9]], dtype=np.float32), np.array([0, 0, 1]))
        5.0
    """
    values: list[float] = []
    for class_id in np.unique(class_ids):
        rows = torch.from_numpy(features[class_ids == class_id]).double()
        if len(rows) > 1:
            sums = sum(
                float(torch.cdist(rows[place : place + _BLOCK], rows).sum()) for place in range(0, len(rows), _BLOCK)
            )
            values.append(sums / (len(rows) * (len(rows) - 1)))
    return float(np.mean(values)) if values else None
