"""SD-random: images from noise and a class's prompt alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..maths.rng import sample_seeds, uniforms
from ..plan.pairs import leads
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..plan.sample import PlanTable
from ..typing import Int64
from .base import Method, check_range
from .shares import ClassCounts, check_counts


class SDRandom(Method):
    """Text to image with the class as the hard label: the plain baseline, with learned concepts or without.

    Example:
        >>> from ncm_lib import ClassList
        >>> method = SDRandom(classes=ClassList.of(["robin", "wren"], meta_class="bird"))
        >>> sorted(method.plan_one(index).conditions[0].prompt for index in range(2))
        ['a photo of a robin bird', 'a photo of a wren bird']
    """

    name: ClassVar[str] = "sd-random"

    class_policy: Literal["balanced", "random"] = Field(default="balanced")
    """balanced: every round has each class as often as class_counts says. random: a class is drawn for each image."""
    class_counts: ClassCounts | None = None
    """Per class, how often it is made in one round, or its odds where the class is random. None: all alike."""
    prompt: str = DEFAULT_TEMPLATE
    """The prompt template, with {class} and {metaclass}."""

    @model_validator(mode="after")
    def _check(self) -> SDRandom:
        check_counts(self.class_counts, self.classes)
        class_prompts(self.classes, self.prompt)
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
        class_ids = self._class_ids(start, stop)[:, None].astype(np.int32)
        return PlanTable(
            index=np.arange(start, stop, dtype=np.int64),
            seed=sample_seeds(self.seed, start, stop),
            prompts=class_prompts(self.classes, self.prompt),
            prompt_ids=class_ids,
            class_ids=class_ids,
            weights=np.ones((stop - start, 1)),
        )

    def _class_ids(self, start: int, stop: int) -> Int64[np.ndarray, " n"]:
        counts = self.class_counts or (1,) * len(self.classes)
        if self.class_policy == "balanced":
            return leads(np.arange(start, stop, dtype=np.int64), counts, self.seed).class_ids
        ends = np.cumsum(np.asarray(counts, dtype=np.int64))
        slot = (uniforms(self.seed, "class", start, stop, 1)[:, 0] * int(ends[-1])).astype(np.int64)
        return np.searchsorted(ends, slot, side="right").astype(np.int64)
