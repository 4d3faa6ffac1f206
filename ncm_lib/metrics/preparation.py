"""From a picture to what a classifier reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..typing import Float32, UInt8

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Size and normalisation: the shorter side is brought to ``resize``, then a square of ``resolution`` is cut out.

    Example:
        >>> ready = Preparation(resolution=4, resize=5)
        >>> ready.cropped(ready.scaled(Image.new("RGB", (20, 10)))).shape
        (3, 4, 4)
    """

    resolution: int
    resize: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Per colour channel, of values in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD

    def scaled(self, image: Image.Image) -> UInt8[np.ndarray, "3 h w"]:
        """The RGB picture with its shorter side at ``resize``."""
        factor = self.resize / min(image.size)
        size = (max(self.resize, round(image.width * factor)), max(self.resize, round(image.height * factor)))
        if size != image.size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))

    def cropped(
        self, picture: UInt8[np.ndarray, "3 h w"], left: float = 0.5, top: float = 0.5
    ) -> UInt8[np.ndarray, "3 side side"]:
        """A square of ``resolution``; ``left`` and ``top`` in [0, 1] say where, 0.5 is the centre."""
        y, x = (round(share * (side - self.resolution)) for share, side in ((top, picture.shape[1]),
                                                                             (left, picture.shape[2])))  # fmt: skip
        return picture[:, y : y + self.resolution, x : x + self.resolution]

    def normalised(self, pixels: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 3 h w"]:
        """(pixel / 255 - mean) / std."""
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        return (pixels.to(torch.float32) / 255 - mean) / std
