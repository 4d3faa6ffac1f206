"""Diff-AUG: variations of the real images of a class, by a model that has learned the class."""

from __future__ import annotations

from typing import ClassVar

from .image_start import Strengths
from .same_class import SameClass


class DiffAug(SameClass):
    """Diff-Mix's variant within a class (Wang et al., CVPR 2024) as a config.

    Give it a model with learned words and LoRA (concepts); it plans as ``RealGuidance`` does, at higher strengths.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> method = DiffAug(classes=ClassList.of(["robin"]), images=PoolListing(images=(("a", "b"),)))
        >>> method.plan_one(0).label
        (ClassWeight(class_id=0, weight=1.0),)
    """

    name: ClassVar[str] = "diff-aug"

    strengths: Strengths = (0.5, 0.7, 0.9)
