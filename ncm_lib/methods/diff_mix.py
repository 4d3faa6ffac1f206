"""Diff-Mix: real images of one class made into another, by a model that has learned both."""

from __future__ import annotations

from typing import ClassVar

from .across_classes import AcrossClasses


class DiffMix(AcrossClasses):
    """The method of Diff-Mix (Wang et al., CVPR 2024) as a config.

    Give it a model with learned words and LoRA (concepts). Labels sum to one: the published code's further factor
    of 0.9 is left out.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> images = PoolListing(images=(("a", "b"), ("c",)))
        >>> method = DiffMix(classes=ClassList.of(["robin", "wren"]), images=images, strengths=(0.5,))
        >>> [round(share.weight, 8) for share in method.plan_one(0).label]
        [0.42565082, 0.57434918]
    """

    name: ClassVar[str] = "diff-mix"
