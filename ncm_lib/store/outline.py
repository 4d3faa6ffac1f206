"""The border of a mask as a drawing of a few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from ..typing import Bool, Float32
from .record import Array

_LARGEST, _LONGEST = 64, 3000
"""Cells per side, and characters per drawing, of what a small picture can show."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Where a mask divides its image, in units of its cells; the drawings are SVG paths."""

    width: int
    height: int
    area: str
    """The first class's region, as rectangles."""
    edges: str
    """The border between the regions, as lines; the image's own border is none of it."""


def outline(mask: Float32[Array, "h w"]) -> Outline:
    """Draw the region where the first class has at least half, and its border.

    Masks of more than 64 cells per side, and those too ragged for a small picture, are reduced first.

    Example:
        >>> mask = np.ones((4, 4), np.float32)
        >>> mask[1:3, 2:] = 0
        >>> drawing = outline(mask)
        >>> drawing.area, drawing.edges
        ('M0 0h4v1h-4zM0 1h2v2h-2zM0 3h4v1h-4z', 'M2 1h2M2 3h2M2 1v2')
    """
    side = max(mask.shape)
    drawing = _drawn(_reduced(mask, min(side, _LARGEST)))
    while len(drawing.edges) > _LONGEST:
        side = max(drawing.width, drawing.height) // 2
        drawing = _drawn(_reduced(mask, side))
    return drawing


def _reduced(mask: Array, side: int) -> Bool[Array, "h w"]:
    """The mask with its longer side at ``side`` cells."""
    height, width = mask.shape
    scale = side / max(mask.shape)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        mask = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return np.asarray(mask >= 0.5, dtype=np.bool_)


def _drawn(first: Bool[Array, "h w"]) -> Outline:
    height, width = first.shape
    rows = "".join(f"M{x} {y + 1}h{size}" for y, x, size in _lines(first[1:] != first[:-1]))
    columns = "".join(f"M{x + 1} {y}v{size}" for x, y, size in _lines((first[:, 1:] != first[:, :-1]).T))
    return Outline(width=width, height=height, area=_area(first), edges=rows + columns)


def _area(first: Bool[Array, "h w"]) -> str:
    """Rectangles, over as many rows as are alike."""
    changes = np.flatnonzero((first[1:] != first[:-1]).any(axis=1)) + 1
    starts = [0, *map(int, changes), len(first)]
    return "".join(
        f"M{x} {top}h{size}v{bottom - top}h-{size}z"
        for top, bottom in pairwise(starts)
        for _, x, size in _lines(first[top : top + 1])
    )


def _lines(cells: Bool[Array, "m n"]) -> Iterator[tuple[int, int, int]]:
    """(row, first cell, length) of every run of true cells."""
    padded = np.pad(cells.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)
    for (row, start), (_, stop) in zip(np.argwhere(steps == 1), np.argwhere(steps == -1), strict=True):
        yield int(row), int(start), int(stop - start)
