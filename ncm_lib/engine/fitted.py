"""Real images at the size of a run."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..typing import Float32


def fitted(image: Image.Image, size: tuple[int, int]) -> Float32[Tensor, "3 height width"]:
    """The image's centre at ``size`` (height, width), in [0, 1]: its shorter side is scaled, the longer one cut."""
    height, width = size
    factor = max(height / image.height, width / image.width)
    scaled = image.resize(
        (max(width, round(image.width * factor)), max(height, round(image.height * factor))), Image.Resampling.BICUBIC
    )
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    pixels = np.asarray(scaled.crop((left, top, left + width, top + height)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)
