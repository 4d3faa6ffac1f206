"""Real-Guidance: variations of the real images of a class, by a model that was not tuned to them."""

from __future__ import annotations

from typing import ClassVar

from .same_class import SameClass


class RealGuidance(SameClass):
    """The real-guidance baseline of He et al. as a config: source, prompt and label are of one class.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> images = PoolListing(images=(("a", "b"), ("c",)))
        >>> method = RealGuidance(classes=ClassList.of(["robin", "wren"]), images=images)
        >>> sorted(method.plan_one(index).start.source for index in range(3))
        ['a', 'b', 'c']

    Reference:
        He et al., Is synthetic data from generative models ready for image recognition?, ICLR 2023.
    """

    name: ClassVar[str] = "real-guidance"
