"""Image to image within a class: source, prompt and label are of one class."""

from __future__ import annotations

import numpy as np
from pydantic import model_validator

from ..maths.rng import keyed_permutation, sample_seeds
from ..plan.pairs import Leads, leads
from ..plan.prompts import class_prompts
from ..plan.sample import PlanTable
from ..typing import Int64
from .base import check_range
from .image_start import ImageStart
from .shares import ClassCounts, check_counts


class SameClass(ImageStart):
    """A method whose samples are variations of a real image of their class.

    The images of a class are gone through in a shuffled order, each once before any is used again.
    """

    class_counts: ClassCounts | None = None
    """Per class, how often it is made in one round; rounds are shuffled. None: once for each of its real images."""

    @model_validator(mode="after")
    def _check_counts(self) -> SameClass:
        check_counts(self.class_counts, self.classes)
        needed = np.ones(len(self.classes)) if self.class_counts is None else np.asarray(self.class_counts)
        self._refuse_without_images(needed, "or a count of 0 (class_counts)")
        return self

    def plan(self, start: int, stop: int) -> PlanTable:
        """Plan the samples ``start..stop-1``.

        Args:
            start: first index.
            stop: one past the last index.

        Returns:
            A table of stop - start rows with one condition each.
        """
        check_range(start, stop)
        index = np.arange(start, stop, dtype=np.int64)
        first = leads(index, self.class_counts or self.images.counts, self.seed)
        one_hot = first.class_ids[:, None].astype(np.int32)
        return PlanTable(
            index=index,
            seed=sample_seeds(self.seed, start, stop),
            prompts=class_prompts(self.classes, self.prompt),
            prompt_ids=one_hot,
            class_ids=one_hot,
            weights=np.ones((len(index), 1)),
            images=self._starts(first.class_ids, self._places(first), self._strength_ids(start, stop)),
        )

    def _places(self, first: Leads) -> Int64[np.ndarray, " n"]:
        """Which of its class's images each sample starts from."""
        places = np.zeros(len(first.class_ids), dtype=np.int64)
        for class_id in map(int, np.unique(first.class_ids)):
            rows, images = np.flatnonzero(first.class_ids == class_id), self.images.counts[class_id]
            epoch, position = np.divmod(first.occurrence[rows], images)
            places[rows] = keyed_permutation(position, images, self.seed, f"source {class_id}", epoch)
        return places
