"""``ncm dip``: restoring images by a network that nobody has trained."""

from __future__ import annotations

from collections.abc import Callable

from .dip_restore import DipDenoise, DipInpaint, DipReconstruct, DipSuperresolve
from .dip_study import DipStudy

ACTIONS: dict[str, Callable[..., Callable[[], int]]] = {
    "denoise": DipDenoise,
    "inpaint": DipInpaint,
    "superres": DipSuperresolve,
    "reconstruct": DipReconstruct,
    "study": DipStudy,
}


class Dip:
    """Restore images without any training data, or study what helps: the deep image prior.

    For example:

    - ncm dip denoise noisy.png --out restored
    - ncm dip inpaint torn.png --mask holes.png --out restored
    """
