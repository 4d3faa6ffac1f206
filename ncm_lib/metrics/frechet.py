"""The Frechet distance between two sets of features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import import_extra
from ..typing import Float32


class _Given(nn.Module):
    """Features that are computed already, as torchmetrics asks for them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


def frechet_distance(one: Float32[np.ndarray, "n width"], other: Float32[np.ndarray, "m width"]) -> float:
    """Distance of two Gaussians that have the features' means and covariances, by torchmetrics.

        d^2 = |mean_1 - mean_2|^2 + trace(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

    It is the FID only where the features are Inception's; else it has to be named after its network.

    Args:
        one: features of at least two images.
        other: of the same network.

    Returns:
        d^2.

    Raises:
        MissingExtraError: torchmetrics is not installed.

    Reference:
        Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017.
    """
    fid = import_extra("torchmetrics.image.fid", "metrics")
    metric = fid.FrechetInceptionDistance(feature=_Given(one.shape[1]))
    metric.update(torch.from_numpy(one), real=True)
    metric.update(torch.from_numpy(other), real=False)
    return float(metric.compute())
