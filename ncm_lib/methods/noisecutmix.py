"""NoiseCutMix: two classes in one image, mixed in the predicted noise by a CutMix mask."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..errors import InputError
from ..maths.masks import plan_cutmix
from ..maths.rng import sample_seeds, uniforms
from ..plan.pairs import Leads, PairPolicy, balanced_partners, confusion_partners, leads, uniform_partners
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..plan.sample import Boxes, PlanTable
from ..typing import Int64
from .base import Method, check_range
from .shares import ClassCounts, ConfusionMatrix, check_confusion, check_counts


class NoiseCutMix(Method):
    """The method of NoiseCutMix (Takezaki, Bise, Matsuo, ICCV Workshops 2025) as a config.

    Condition 0 is class A, condition 1 is class B. The label is the share of the mask that each one owns (Eq. 2).

    Example:
        >>> from ncm_lib import ClassList
        >>> method = NoiseCutMix(classes=ClassList.of(["robin", "wren"], meta_class="bird"))
        >>> sample = method.plan_one(7)
        >>> sorted(condition.prompt for condition in sample.conditions)
        ['a photo of a robin bird', 'a photo of a wren bird']
        >>> sum(share.weight for share in sample.label)
        1.0
    """

    name: ClassVar[str] = "noisecutmix"

    alpha: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Of Beta(alpha, alpha), which the mask's lambda is drawn from. 1: all areas alike; larger: more even mixes."""
    placement: Literal["truncate", "inside"] = "truncate"
    """truncate: boxes are cut off at the border (the paper). inside: whole boxes; class A gets half on average."""
    rounding: Literal["reference", "exact"] = "reference"
    """reference: boxes lose a cell for odd sizes, as the published code. exact: they keep it."""
    box_class: Literal["b", "a"] = "b"
    """Which class owns the box: b as in the paper, a as in the published code."""
    grid: Literal["latent", "pixel"] = "latent"
    """latent: boxes on latent cells, binary masks. pixel: boxes on pixels, area-averaged to cells."""
    class_a: str | None = None
    """The requested class A. None: classes lead by class_counts."""
    class_counts: ClassCounts | None = None
    """Per class, in how many samples of one round it is class A; rounds are shuffled. None: once each."""
    pair_policy: PairPolicy = "uniform"
    """How class B is drawn. uniform: any other class. balanced: each other class equally often. confusion: the classes
    that a classifier takes for A, by the confusion matrix. any: also A itself, as the published code does."""
    confusion: ConfusionMatrix | None = None
    """C rows of C numbers, for pair_policy confusion. Row: true class; column: what it was taken for. The diagonal is
    not read, rows need no common scale, and a row without confusion draws uniformly."""
    prompt: str = DEFAULT_TEMPLATE
    """The prompt template, with {class} and {metaclass}."""

    @model_validator(mode="after")
    def _check_classes(self) -> NoiseCutMix:
        if len(self.classes) < 2 and self.pair_policy != "any":
            raise InputError(
                "NoiseCutMix mixes two different classes and the class list has 1; give at least 2 classes."
            )
        if self.class_a is not None:
            self.classes.id_of(self.class_a)
            if self.class_counts is not None:
                raise InputError(
                    f"class_a is {self.class_a!r} and class_counts came too: one fixes class A, the other shares it "
                    "out; give one of the two."
                )
        check_counts(self.class_counts, self.classes)
        check_confusion(self.pair_policy, self.confusion, self.classes)
        class_prompts(self.classes, self.prompt)
        return self

    def plan(self, start: int, stop: int) -> PlanTable:
        """Plan the samples ``start..stop-1``.

        Args:
            start: first index.
            stop: one past the last index.

        Returns:
            A table of stop - start rows with K = 2 conditions each.
        """
        check_range(start, stop)
        index = np.arange(start, stop, dtype=np.int64)
        first = self._leads(index)
        class_ids = np.stack([first.class_ids, self._partners(first, start, stop)], axis=1).astype(np.int32)
        # the class pair of a row names its two prompts, so prompt ids are class ids
        scale = 1 if self.grid == "latent" else self.latent_cell
        grid_height, grid_width = self.latent_height * scale, self.latent_width * scale
        cutmix = plan_cutmix(
            len(index),
            grid_height,
            grid_width,
            alpha=self.alpha,
            seed=self.seed,
            start=start,
            placement=self.placement,
            rounding=self.rounding,
            box_class=self.box_class,
        )
        return PlanTable(
            index=index,
            seed=sample_seeds(self.seed, start, stop),
            prompts=class_prompts(self.classes, self.prompt),
            prompt_ids=class_ids,
            class_ids=class_ids,
            # Eq. 2, NoiseCutMix: y = w_A onehot(A) + w_B onehot(B), w_A = mean of the mask
            weights=np.stack([cutmix.weight_a, 1.0 - cutmix.weight_a], axis=1),
            boxes=Boxes(
                box=cutmix.boxes,
                grid_height=grid_height,
                grid_width=grid_width,
                inside=1 if self.box_class == "b" else 0,
            ),
        )

    def _leads(self, index: Int64[np.ndarray, " n"]) -> Leads:
        if self.class_a is not None:
            always = np.full(len(index), self.classes.id_of(self.class_a), dtype=np.int64)
            return Leads(class_ids=always, occurrence=index)
        return leads(index, self.class_counts or (1,) * len(self.classes), self.seed)

    def _partners(self, first: Leads, start: int, stop: int) -> Int64[np.ndarray, " n"]:
        count = len(self.classes)
        if self.pair_policy == "balanced":
            return balanced_partners(first, count, self.seed)
        uniform = uniforms(self.seed, "class_b", start, stop, 1)[:, 0]
        if self.pair_policy == "any":
            return (uniform * count).astype(np.int64)
        if self.confusion is not None:
            return confusion_partners(first.class_ids, uniform, self.confusion)
        return uniform_partners(first.class_ids, uniform, count)
