"""Image to image across classes: the source is of one class, the prompt of another, the label of both."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..errors import InputError
from ..maths.labels import translated_share
from ..maths.rng import sample_seeds, uniforms
from ..plan.pairs import Leads, balanced_partners, confusion_partners, leads, uniform_partners
from ..plan.prompts import class_prompts
from ..plan.sample import PlanTable
from ..typing import Float64, Int64
from .base import check_range
from .image_start import ImageStart, Strengths
from .shares import ClassCounts, ConfusionMatrix, check_confusion, check_counts


class AcrossClasses(ImageStart):
    """A method whose samples are real images of class i, made into class j.

    The label is y = (1 - s**gamma) onehot(i) + s**gamma onehot(j), with s the strength; a record lists i first.
    """

    strengths: Strengths = (0.5, 0.7, 0.9)
    gamma: float = Field(default=0.8, gt=0, allow_inf_nan=False)
    """Of the label: the prompt's class gets strength**gamma. Smaller: more of the label for the prompt's class."""
    class_counts: ClassCounts | None = None
    """Per class, how often it is the prompt's class j in one round; rounds are shuffled. None: once each."""
    pair_policy: Literal["uniform", "balanced", "confusion"] = "uniform"
    """How the source's class i is drawn. uniform: any other class. balanced: each other class equally often. confusion:
    the classes that a classifier takes j for, by the confusion matrix."""
    confusion: ConfusionMatrix | None = None
    """C rows of C numbers, for pair_policy confusion. Row: true class; column: what it was taken for. The diagonal is
    not read, rows need no common scale, and a row without confusion draws uniformly."""

    @model_validator(mode="after")
    def _check_pairs(self) -> AcrossClasses:
        if len(self.classes) < 2:
            raise InputError(
                f"{self.name} makes images of one class into another, and the class list has 1; give at least 2."
            )
        check_counts(self.class_counts, self.classes)
        check_confusion(self.pair_policy, self.confusion, self.classes)
        # every class may be drawn as the source's
        self._refuse_without_images(np.ones(len(self.classes)), "or take them out of the class list")
        return self

    def plan(self, start: int, stop: int) -> PlanTable:
        """Plan the samples ``start..stop-1``.

        Args:
            start: first index.
            stop: one past the last index.

        Returns:
            A table of stop - start rows with one condition each, and two classes in each label.
        """
        check_range(start, stop)
        index = np.arange(start, stop, dtype=np.int64)
        prompted = leads(index, self.class_counts or (1,) * len(self.classes), self.seed)
        draws = uniforms(self.seed, "across_classes", start, stop, 2)
        source_class = self._partners(prompted, draws[:, 0])
        place = (draws[:, 1] * np.asarray(self.images.counts)[source_class]).astype(np.int64)
        strength_ids = self._strength_ids(start, stop)
        # y = (1 - s**gamma) onehot(i) + s**gamma onehot(j), Diff-Mix
        share = translated_share(np.asarray(self.strengths, dtype=np.float64)[strength_ids], self.gamma)
        return PlanTable(
            index=index,
            seed=sample_seeds(self.seed, start, stop),
            prompts=class_prompts(self.classes, self.prompt),
            prompt_ids=prompted.class_ids[:, None].astype(np.int32),
            class_ids=np.stack([source_class, prompted.class_ids], axis=1).astype(np.int32),
            weights=np.stack([1.0 - share, share], axis=1),
            images=self._starts(source_class, place, strength_ids),
        )

    def _partners(self, prompted: Leads, uniform: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        if self.pair_policy == "balanced":
            return balanced_partners(prompted, len(self.classes), self.seed)
        if self.confusion is not None:
            return confusion_partners(prompted.class_ids, uniform, self.confusion)
        return uniform_partners(prompted.class_ids, uniform, len(self.classes))
