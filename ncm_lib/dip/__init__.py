"""The deep image prior: an untrained network restores one image, fed with noise or with the image on its way to it."""

from .config import DipConfig, InputConfig, SkipConfig, StoppingConfig, UNetConfig
from .history import History, Quality, Restoration, Step
from .quality import psnr, ssim
from .restore import restore
from .tasks import Task

__all__ = [
    "DipConfig",
    "History",
    "InputConfig",
    "Quality",
    "Restoration",
    "SkipConfig",
    "Step",
    "StoppingConfig",
    "Task",
    "UNetConfig",
    "psnr",
    "restore",
    "ssim",
]
