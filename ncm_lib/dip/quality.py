"""How near a restoration comes to the clean image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..typing import Float


def psnr(image: Float[Tensor, "*n c h w"], clean: Float[Tensor, "*n c h w"], *, data_range: float | int = 1.0) -> float:
    """Measure the peak signal-to-noise ratio.

    PSNR = 10 log10(R^2 / mean((x - y)^2)), with R the data range.

    Args:
        image: x.
        clean: y, of the same shape.
        data_range: R, the distance from the lowest to the highest legal value.

    Returns:
        Decibels over all images together; infinite for equal ones.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> round(psnr(torch.full((1, 8, 8), 0.75), torch.full((1, 8, 8), 0.5)), 3)
        12.041
    """
    _check_shapes(image, clean)
    error = (image.double() - clean.double()).square().mean()
    return float(10 * torch.log10(data_range**2 / error))


def ssim(
    image: Float[Tensor, "*n c h w"],
    clean: Float[Tensor, "*n c h w"],
    *,
    data_range: float | int = 1.0,
    window: Literal["gaussian", "uniform"] = "gaussian",
) -> float:
    """Measure the structural similarity.

    SSIM = mean of (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)) over all windows that
    lie inside, with C1 = (0.01 R)^2, C2 = (0.03 R)^2 and R the data range: with an R that is 255 times too large, the
    constants swamp the rest, and everything resembles everything.

    Args:
        image: x.
        clean: y, of the same shape.
        data_range: R, the distance from the lowest to the highest legal value: 1 for images in [0, 1].
        window: gaussian: 11x11, sigma 1.5, as in the paper. uniform: 7x7 with sample covariances, the default of
            scikit-image.

    Returns:
        The mean over windows, channels and images; 1 for equal images.

    Raises:
        InputError: the shapes differ, or the images are smaller than a window.

    Example:
        >>> flat = torch.full((1, 16, 16), 0.5)
        >>> ssim(flat, flat)
        1.0

    Reference:
        Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004.
    """
    _check_shapes(image, clean)
    side = 11 if window == "gaussian" else 7
    if min(image.shape[-2:]) < side:
        raise InputError(
            f"The image has {image.shape[-2]} x {image.shape[-1]} pixels; SSIM's window needs at least {side} per side."
        )
    x, y = (picture.double().reshape(-1, 1, *picture.shape[-2:]) for picture in (image, clean))
    offsets = torch.arange(side, dtype=torch.float64, device=x.device) - side // 2
    weights = torch.exp(-0.5 * (offsets / 1.5) ** 2) if window == "gaussian" else torch.ones_like(offsets)
    weights = weights / weights.sum()
    planes = torch.cat([x, y, x * x, y * y, x * y])
    means = F.conv2d(F.conv2d(planes, weights.reshape(1, 1, -1, 1)), weights.reshape(1, 1, 1, -1))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = means.chunk(5)
    sample = 1.0 if window == "gaussian" else side**2 / (side**2 - 1)
    variances = sample * (mean_xx - mean_x**2 + mean_yy - mean_y**2)
    covariance = sample * (mean_xy - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    # Eq. 13, Wang et al. 2004
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return float(similarity.mean())


def _check_shapes(image: Tensor, clean: Tensor) -> None:
    if image.shape != clean.shape:
        raise InputError(
            f"The image has the shape {list(image.shape)} and the clean one {list(clean.shape)}; they must be equal."
        )
