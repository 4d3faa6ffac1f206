"""Real-Filter: SD-random, of which the images that fit their prompt worst are marked."""

from __future__ import annotations

from typing import ClassVar

from .sd_random import SDRandom


class RealFilter(SDRandom):
    """The filtered baseline of He et al. as a config: it plans what ``SDRandom`` plans.

    The filter comes when the images are there: ``filter_dataset`` with a ``ClipScore`` and ``keep=0.9`` marks the
    lowest tenth, and ``SyntheticDataset(path, filter="clip")`` leaves those out.

    Example:
        >>> from ncm_lib import ClassList
        >>> classes = ClassList.of(["robin", "wren"])
        >>> RealFilter(classes=classes).plan_one(3) == SDRandom(classes=classes).plan_one(3)
        True

    Reference:
        He et al., Is synthetic data from generative models ready for image recognition?, ICLR 2023.
    """

    name: ClassVar[str] = "real-filter"
