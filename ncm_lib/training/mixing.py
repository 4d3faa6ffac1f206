"""Images mixed in pixels while a classifier is trained: CutMix, MixUp, CMO.

kornia has CutMix with whole boxes only and MixUp with uniform lambdas only, so the drawing is ours, by the papers'
rules; pasting and blending agree with kornia's (tests/unit/training).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from ..maths.masks import Box, cutmix_box
from ..maths.rng import uniforms
from ..typing import Float32, Float64


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How the images of a batch take up their partners: a box of them, or a share of their light."""

    share: float
    """Of the partner, where there is no box."""
    box: Box | None = None
    """In cells of ``grid``."""
    grid: int = 1

    def apply(
        self,
        images: Float32[Tensor, "n 3 h w"],
        labels: Float32[Tensor, "n classes"],
        partners: Float32[Tensor, "n 3 h w"],
        partner_labels: Float32[Tensor, "n classes"],
    ) -> tuple[Float32[Tensor, "n 3 h w"], Float32[Tensor, "n classes"]]:
        """Mix images and labels.

        With a box: the partner's pixels inside of it, and w = its share of the area. Without: w = ``share``, and
        image = (1 - w) * image + w * partner. The label is (1 - w) * label + w * partner's label.
        """
        if self.box is None:
            # Eq. 1, Zhang et al. 2018
            return torch.lerp(images, partners, self.share), torch.lerp(labels, partner_labels, self.share)
        x0, y0, x1, y1 = self.box
        mixed = images.clone()
        # Eq. 1, Yun et al. 2019, with the label by the area that the box has, not by the lambda that was drawn
        mixed[:, :, y0:y1, x0:x1] = partners[:, :, y0:y1, x0:x1]
        return mixed, torch.lerp(labels, partner_labels, self.box.area / self.grid**2)


def draw_mix(kind: str, alpha: float | int, side: int, numbers: Float64[np.ndarray, " 3"]) -> Mix:
    """Draw one batch's mix, as the published codes do.

    lambda ~ Beta(alpha, alpha). MixUp: the partner's share is 1 - lambda. CutMix and CMO: a box of side * sqrt(1 -
    lambda) around a uniform centre, cut off at the border.

    Args:
        kind: "cutmix", "mixup" or "cmo".
        alpha: above 0.
        side: of the images, in pixels.
        numbers: uniform in [0, 1).

    Example:
        >>> draw_mix("cutmix", 1, 32, np.array([0.75, 0.5, 0.5])).box
        Box(x0=8, y0=8, x1=24, y1=24)

    Reference:
        Yun et al., CutMix, ICCV 2019; Zhang et al., mixup, ICLR 2018; Park et al., The Majority Can Help The Minority
        (CMO), CVPR 2022.
    """
    lam = float(betaincinv(alpha, alpha, numbers[0]))
    if kind == "mixup":
        return Mix(share=1 - lam)
    box = cutmix_box(side, side, lam, int(numbers[1] * side), int(numbers[2] * side))
    return Mix(share=0.0, box=box, grid=side)


def mix_numbers(seed: int, step: int) -> Float64[np.ndarray, " 4"]:
    """Whether step ``step`` mixes (the first number), and how (the others)."""
    return uniforms(seed, "classifier mix", step, step + 1, 4)[0]
