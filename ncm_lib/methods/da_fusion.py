"""DA-Fusion: every real image varied at several strengths, under its class's learned word."""

from __future__ import annotations

from typing import ClassVar

from .image_start import Strengths
from .same_class import SameClass


class DAFusion(SameClass):
    """The method of DA-Fusion (Trabucco et al., ICLR 2024) as a config.

    Give it a model with learned words for the classes and without a LoRA: the published method leaves the denoiser
    as it is.

    Example:
        >>> from ncm_lib import ClassList
        >>> from ncm_lib.plan.pool import PoolListing
        >>> images = PoolListing(images=(("a", "b"), ("c",)))
        >>> method = DAFusion(classes=ClassList.of(["robin", "wren"]), images=images)
        >>> sorted({sample.start.strength for sample in method.plan(0, 100)})
        [0.25, 0.5, 0.75, 1.0]
    """

    name: ClassVar[str] = "da-fusion"

    strengths: Strengths = (0.25, 0.5, 0.75, 1.0)
