"""Diff-II: new images of one class from points on the circle through two of its inverted images."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ..errors import InputError
from ..maths.interpolation import Arc
from ..maths.rng import keyed_permutation, sample_seeds, uniforms
from ..plan.pairs import leads
from ..plan.pool import PoolListing
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..plan.sample import Circles, EarlyPrompts, PlanTable
from ..typing import Bool, Float64, Int64
from .base import Method, check_range


class DiffII(Method):
    """The method of Diff-II (Wang and Chen, CVPR 2025) as a config.

    Every sample mixes two inversions of one class and keeps that class as its hard label. Within a class every
    unordered pair is used once before any is used again, in the order of the indices; a class with a single image
    starts from noise.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> listing = PoolListing(images=(("a", "b"), ("c",)))
        >>> method = DiffII(classes=ClassList.of(["robin", "wren"]), pool=listing, expansion=2)
        >>> method.size, sorted({sample.label[0].class_id for sample in method.plan(0, 6)})
        (6, [0, 1])
    """

    name: ClassVar[str] = "diff-ii"
    default_scheduler: ClassVar[str] = "ddim"

    pool: PoolListing
    """The inverted images."""
    expansion: int = Field(default=5, ge=1)
    """New images per real one in an epoch of the plan."""
    arc: Arc = "circle"
    """circle: the whole circle. interpolation: between the two images. extrapolation: the rest of the circle."""
    match_norm: bool = False
    """True: the start's norm goes from the first image's to the second's. False: it stays the first's."""
    suffixes: tuple[str, ...] = ()
    """Words behind the prompt in the first steps, one of them per sample; none: one stage only."""
    suffix_fraction: float = Field(default=0.3, ge=0, le=1)
    """Share of the first steps that use the suffix. The paper: 0.3 at 5 shots, 0.1 at 10, 1.0 for long tails."""
    prompt: str = DEFAULT_TEMPLATE
    """The prompt template, with {class} and {metaclass}."""

    @model_validator(mode="after")
    def _check(self) -> DiffII:
        if len(self.pool.images) != len(self.classes):
            raise InputError(
                f"The pool has images of {len(self.pool.images)} classes and the class list has {len(self.classes)}; "
                "invert with the class list that you generate with."
            )
        if not len(self.pool):
            raise InputError("The pool holds no image; invert some first.")
        if any(not suffix.strip() for suffix in self.suffixes):
            raise InputError("A suffix is empty; leave empty lines out of the list of suffixes.")
        class_prompts(self.classes, self.prompt)
        return self

    @property
    def size(self) -> int:
        """Samples of one epoch: ``expansion`` per image of the pool."""
        return self.expansion * len(self.pool)

    def config(self) -> dict[str, Any]:
        """The resolved config; of the pool, its digest and its counts per class."""
        fields = self.model_dump(mode="json", exclude={"classes", "pool"})
        return fields | {"pool": self.pool.digest(), "pool_counts": list(self.pool.counts)}

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
        class_ids, turn = self._slots(index)
        draws = uniforms(self.seed, "diff-ii", start, stop, 3)
        pairs = self._pairs(class_ids, turn, swap=draws[:, 1] < 0.5)
        one_hot = class_ids[:, None].astype(np.int32)
        prompts = class_prompts(self.classes, self.prompt)
        return PlanTable(
            index=index,
            seed=sample_seeds(self.seed, start, stop),
            prompts=prompts,
            prompt_ids=one_hot,
            class_ids=one_hot,
            weights=np.ones((len(index), 1)),
            early=self._early(prompts, class_ids, draws[:, 2]),
            circles=Circles(
                sources=self.pool.contents,
                pairs=pairs,
                u=draws[:, 0],
                arc=self.arc,
                match_norm=self.match_norm,
            ),
        )

    def _slots(self, index: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Each sample's class, and how many samples of that class come before it.

        A round is as many samples as the pool has images, each class as often as it has images, shuffled; so counting
        needs no more than the round that a sample stands in.
        """
        if not len(index):
            return index, index
        size, counts = len(self.pool), np.asarray(self.pool.counts, dtype=np.int64)
        first = int(index[0]) // size * size
        whole = np.arange(first, (int(index[-1]) // size + 1) * size, dtype=np.int64)
        class_ids = leads(whole, self.pool.counts, self.seed, "diff-ii slot").class_ids
        group = whole // size * len(counts) + class_ids
        order = np.argsort(group, kind="stable")
        _, begins, members = np.unique(group[order], return_index=True, return_counts=True)
        rank = np.empty_like(whole)
        rank[order] = np.arange(len(whole)) - np.repeat(begins, members)
        turn = whole // size * counts[class_ids] + rank
        return class_ids[index - first], turn[index - first]

    def _pairs(
        self, class_ids: Int64[np.ndarray, " n"], turn: Int64[np.ndarray, " n"], *, swap: Bool[np.ndarray, " n"]
    ) -> Int64[np.ndarray, "n 2"]:
        """Positions in the pool of each sample's two images; -1 where its class has one image only."""
        pairs = np.full((len(class_ids), 2), -1, dtype=np.int64)
        counts = np.asarray(self.pool.counts, dtype=np.int64)
        firsts = np.cumsum(counts) - counts
        for class_id in np.unique(class_ids):
            images = int(counts[class_id])
            if images < 2:
                continue
            rows = np.flatnonzero(class_ids == class_id)
            epoch, position = np.divmod(turn[rows], images * (images - 1) // 2)
            number = keyed_permutation(
                position, images * (images - 1) // 2, self.seed, f"diff-ii pair {class_id}", epoch
            )
            second = _row_of_triangle(number)
            first = number - second * (second - 1) // 2
            pairs[rows] = firsts[class_id] + np.stack([first, second], axis=1)
        # the circle turns away from the first image, so which one is first matters
        pairs[swap] = pairs[swap][:, ::-1]
        return pairs

    def _early(
        self, prompts: tuple[str, ...], class_ids: Int64[np.ndarray, " n"], uniform: Float64[np.ndarray, " n"]
    ) -> EarlyPrompts | None:
        if not self.suffixes:
            return None
        chosen = (uniform * len(self.suffixes)).astype(np.int64)
        return EarlyPrompts(
            prompts=tuple(f"{prompt} {suffix.strip()}" for prompt in prompts for suffix in self.suffixes),
            prompt_ids=(class_ids * len(self.suffixes) + chosen).astype(np.int32),
            fraction=self.suffix_fraction,
        )


def _row_of_triangle(number: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The row r >= 1 of a triangle whose rows have 1, 2, 3, ... places: r (r - 1) / 2 <= number < r (r + 1) / 2."""
    row = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    # the square root of a large number may be off by one either way
    row -= row * (row - 1) // 2 > number
    row += row * (row + 1) // 2 <= number
    return row
