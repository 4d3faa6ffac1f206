"""How many images are near-duplicates of training photographs, whatever part of them and mirrored or not.

An image is a *near-duplicate* when it lies nearer to a view of a training photograph than all but one in a hundred
photographs that no model has seen do, in at least one of two distances:

- *layout*: the 16x16 thumbnail, each colour less its mean, at length 1. It sees one composition in another's colours or
  sharpness, and no likeness of two heaps of lemons. Views: all crops that the model was trained on, and their mirrors.
- *content*: EfficientNet-Lite0's features at length 1. Views: the whole photograph, four corners, and their mirrors.

The unseen photographs are cut at random as the training crops were. What the measure finds of fresh crops of *training*
photographs says how much of copying it sees. What it finds of them while the photographs that they were cut from are
left out says how alike training photographs are: a generator that copies nothing may look like that, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ncm_lib.metrics.neighbours import Nearest, nearest, unit

SHARE = 0.01
"""Of the unseen photographs that count as near-duplicates, per distance."""
THUMBNAIL = 16
CORNER = 0.75
"""Side of the corner views, as a share of the square's side."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """Training views in the two spaces, at length 1."""

    layout: np.ndarray
    layout_of: np.ndarray
    """The photograph that each view is of, by number."""
    content: np.ndarray
    content_of: np.ndarray

    def without(self, numbers: np.ndarray) -> Views:
        """The views of all other photographs."""
        layout, content = (~np.isin(rows, numbers) for rows in (self.layout_of, self.content_of))
        return Views(
            layout=self.layout[layout], layout_of=self.layout_of[layout], content=self.content[content],
            content_of=self.content_of[content],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Of a set of images to the nearest views."""

    layout: Nearest
    content: Nearest


def thumbnails(images: np.ndarray) -> np.ndarray:
    """uint8 [N, h, w, 3] -> float32 [N, 768] of length 1; sides are multiples of 16."""
    count, height, width, _ = images.shape
    cell = height // THUMBNAIL, width // THUMBNAIL
    parts = [np.zeros((0, THUMBNAIL * THUMBNAIL * 3), np.float32)]
    for start in range(0, count, 1000):
        block = np.asarray(images[start : start + 1000], dtype=np.float32)
        small = block.reshape(len(block), THUMBNAIL, cell[0], THUMBNAIL, cell[1], 3).mean(axis=(2, 4))
        small -= small.mean(axis=(1, 2), keepdims=True)
        parts.append(unit(small.reshape(len(block), -1)))
    return np.concatenate(parts)


def mirrored(images: np.ndarray) -> np.ndarray:
    """Left and right exchanged."""
    return images[:, :, ::-1]


def corners(images: np.ndarray) -> list[np.ndarray]:
    """Four squares of every image."""
    side = round(images.shape[1] * CORNER)
    return [images[:, down, across] for down in (slice(side), slice(-side, None))
            for across in (slice(side), slice(-side, None))]  # fmt: skip


def distances(thumbnail_rows: np.ndarray, feature_rows: np.ndarray, views: Views) -> Distances:
    """Of images, whose features are not yet at length 1, to the nearest views."""
    return Distances(layout=nearest(thumbnail_rows, views.layout), content=nearest(unit(feature_rows), views.content))


def among_others(thumbnail_rows: np.ndarray, feature_rows: np.ndarray, views: Views, folds: int = 5) -> Distances:
    """Of one crop of every training photograph, in order, to the nearest views of a fifth less photographs.

    Each photograph is left out with the others of its fold: every fifth one, so that neighbours in the list, which may
    be of one moment, stay.
    """
    count = len(thumbnail_rows)
    found: dict[str, np.ndarray] = {name: np.zeros(count) for name in ("layout", "content")}
    for fold in range(folds):
        rows = np.arange(fold, count, folds)
        part = distances(thumbnail_rows[rows], feature_rows[rows], views.without(rows))
        found["layout"][rows], found["content"][rows] = part.layout.distances, part.content.distances
    nothing = np.full(count, -1)
    return Distances(
        layout=Nearest(distances=found["layout"], rows=nothing),
        content=Nearest(distances=found["content"], rows=nothing),
    )


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Distances under which an image is a near-duplicate."""

    layout: float
    content: float

    @classmethod
    def of_unseen(cls, unseen: Distances) -> Thresholds:
        """From images that cannot be copies."""
        values = (float(np.quantile(found.distances, SHARE)) for found in (unseen.layout, unseen.content))
        layout, content = values
        return cls(layout=layout, content=content)

    def found(self, images: Distances) -> dict[str, np.ndarray]:
        """Whether each image is a near-duplicate: by its layout, its content, either."""
        layout = images.layout.distances < self.layout
        content = images.content.distances < self.content
        return {"layout": layout, "content": content, "either": layout | content}
