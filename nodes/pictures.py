"""Small pictures that nodes show under themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.sample import ClassWeight
from ..ncm_lib.store.tiles import COLOURS, tile


def mask_pictures(masks: Tensor, labels: Sequence[Sequence[tuple[str, float]]]) -> Tensor:
    """Masks in their classes' colours above their labels.

    Args:
        masks: [N, h, w], the first class's share.
        labels: per mask, (name, weight) of each class.

    Returns:
        An IMAGE [N, H, W, 3] in [0, 1].
    """
    tiles = [tile(_coloured(mask.numpy()), None, shares) for mask, shares in zip(masks, labels, strict=True)]
    return torch.stack([torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255) for picture in tiles])


def shares_of(label: Sequence[ClassWeight], classes: ClassList) -> list[tuple[str, float]]:
    """Names and weights of a label."""
    return [(classes.names[share.class_id], share.weight) for share in label]


def _coloured(mask: np.ndarray) -> Image.Image:
    colour_a, colour_b = (np.array(list(bytes.fromhex(colour[1:]))) for colour in COLOURS[:2])
    share = mask[..., None]
    return Image.fromarray((share * colour_a + (1 - share) * colour_b).round().astype(np.uint8))
