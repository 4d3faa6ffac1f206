"""Real-Mix: real images of one class made into another, by a model that was not tuned to them."""

from __future__ import annotations

from typing import ClassVar

from .across_classes import AcrossClasses


class RealMix(AcrossClasses):
    """Diff-Mix without learned concepts (Wang et al., CVPR 2024) as a config: it plans what ``DiffMix`` plans.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> images = PoolListing(images=(("a", "b"), ("c",)))
        >>> method = RealMix(classes=ClassList.of(["robin", "wren"]), images=images)
        >>> sum(share.weight for share in method.plan_one(5).label)
        1.0
    """

    name: ClassVar[str] = "real-mix"
