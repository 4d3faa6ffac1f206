"""Planned masks as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..maths.masks import render_boxes
from ..maths.resize import area_resize
from ..typing import Float32
from .sample import FullMask, Mask


def mask_planes(mask: Mask, height: int, width: int) -> Float32[Tensor, "k h w"]:
    """The masks of a sample's conditions on the latent grid; they sum to one in every cell."""
    if isinstance(mask, FullMask):
        return torch.ones(1, height, width)
    box = np.asarray([mask.box], dtype=np.int32)
    outside = render_boxes(box, mask.grid_height, mask.grid_width, box_class="b")
    if (mask.grid_height, mask.grid_width) != (height, width):
        outside = area_resize(outside, height, width)
    planes = [outside[0, 0], 1 - outside[0, 0]]
    return torch.stack(planes if mask.inside == 1 else planes[::-1])
