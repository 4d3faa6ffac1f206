"""One file per method: a frozen config that plans samples."""

from .base import Method
from .da_fusion import DAFusion
from .diff_aug import DiffAug
from .diff_ii import DiffII
from .diff_mix import DiffMix
from .noisecutmix import NoiseCutMix
from .real_filter import RealFilter
from .real_guidance import RealGuidance
from .real_mix import RealMix
from .sd_random import SDRandom

__all__ = [
    "DAFusion",
    "DiffAug",
    "DiffII",
    "DiffMix",
    "Method",
    "NoiseCutMix",
    "RealFilter",
    "RealGuidance",
    "RealMix",
    "SDRandom",
]
