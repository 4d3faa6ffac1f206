"""Which real image stands at which place of a training, and what is drawn for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import InputError
from ..maths.rng import keyed_permutation, sample_seeds, uniforms
from ..sources.listing import SourceListing
from ..typing import Bool, Float64, Int64


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is random about the places ``start..stop-1``: one entry each."""

    rows: Int64[np.ndarray, " n"]
    """Of the image in its listing."""
    levels: Float64[np.ndarray, " n"]
    """In [0, 1): the noise level as a share of the schedule."""
    flips: Bool[np.ndarray, " n"]
    crops: Float64[np.ndarray, "n 3"]
    """In [0, 1): side, left and top of the crop, each as a share of what it may be."""
    seeds: Int64[np.ndarray, " n"]
    """Of the noise."""


@dataclass(frozen=True, kw_only=True)
class ConceptSampler:
    """A training's order of images: place p is a function of the seed and p, so any step can be the first.

    ``shuffled`` shows every image once, in another order, before any again. ``balanced`` shows every class once before
    any again, and within a class every image once before any again.
    """

    images: SourceListing
    sampling: Literal["shuffled", "balanced"]
    seed: int

    def __post_init__(self) -> None:
        counts = self.images.class_counts()
        if empty := [name for name, count in zip(self.images.classes.names, counts, strict=True) if not count]:
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            raise InputError(
                f"{len(empty)} of {len(counts)} classes have no images: {', '.join(map(repr, empty[:5]))}{more}. "
                "A concept is learned from images: add some (one per class is enough), or leave these classes out."
            )

    def draw(self, start: int, stop: int) -> Draws:
        """Draw for the places ``start..stop-1``; an entry does not depend on the range around it."""
        places = np.arange(start, stop, dtype=np.int64)
        numbers = uniforms(self.seed, "concepts", start, stop, 5)
        return Draws(
            rows=self._balanced(places) if self.sampling == "balanced" else self._shuffled(places),
            levels=numbers[:, 0],
            flips=numbers[:, 1] < 0.5,
            crops=numbers[:, 2:],
            seeds=sample_seeds(self.seed, start, stop),
        )

    def _shuffled(self, places: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        size = len(self.images)
        return keyed_permutation(places % size, size, self.seed, "concepts/images", places // size)

    def _balanced(self, places: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        classes, visits = len(self.images.classes), places // len(self.images.classes)
        class_ids = keyed_permutation(places % classes, classes, self.seed, "concepts/classes", visits)
        rows = np.empty_like(places)
        for class_id in np.unique(class_ids):
            own, there = self.images.of_class(int(class_id)), class_ids == class_id
            rows[there] = own.start + keyed_permutation(
                visits[there] % len(own), len(own), self.seed, f"concepts/class/{class_id}", visits[there] // len(own)
            )
        return rows
