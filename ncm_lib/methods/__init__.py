"""One file per method: a frozen config that plans samples."""

from .base import Method
from .noisecutmix import NoiseCutMix

__all__ = ["Method", "NoiseCutMix"]
