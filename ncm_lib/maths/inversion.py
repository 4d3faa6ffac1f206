"""The deterministic DDIM step, in both directions."""

from __future__ import annotations

import math

from torch import Tensor

from ..errors import InputError
from ..typing import Float


def ddim_step(
    x: Float[Tensor, " *dims"],
    eps: Float[Tensor, " *dims"],
    alpha_bar_from: float | int | Float[Tensor, ""],
    alpha_bar_to: float | int | Float[Tensor, ""],
) -> Float[Tensor, " *dims"]:
    """Move x from one noise level to another along a predicted noise: sampling one way, inversion the other.

    x_to = sqrt(a_to / a_from) * (x - sqrt(1 - a_from) * e) + sqrt(1 - a_to) * e, with a the alpha_bar (diffusers:
    alphas_cumprod) of each level and e the predicted noise.

    Args:
        x: at level ``alpha_bar_from``.
        eps: e, of x's shape. Inversion evaluates it at the *destination* timestep.
        alpha_bar_from: in (0, 1].
        alpha_bar_to: in [0, 1]. Below ``alpha_bar_from``: towards noise (inversion); above: towards the image.

    Returns:
        x at level ``alpha_bar_to``, in x's dtype. There and back with the same e returns x.

    Raises:
        InputError: a level is out of its range, or the shapes differ.

    Example:
        >>> import torch
        >>> x, eps = torch.tensor([0.5], dtype=torch.float64), torch.tensor([-0.25], dtype=torch.float64)
        >>> round(ddim_step(x, eps, 0.9, 0.8).item(), 12)
        0.434136721166

    Reference:
        Eq. 12 with sigma = 0, Song et al., Denoising Diffusion Implicit Models, ICLR 2021. Eq. 4, Diff-II (Wang and
        Chen, CVPR 2025), prints the factor as sqrt(a_t) / (sqrt(a_t) - 1): a misprint.
    """
    source, target = float(alpha_bar_from), float(alpha_bar_to)
    if not (0 < source <= 1 and 0 <= target <= 1):
        raise InputError(
            f"alpha_bar goes from {source} to {target}; it is the share of signal left: from above 0 to 1 at the "
            "start, from 0 to 1 at the end."
        )
    if x.shape != eps.shape:
        raise InputError(f"x has shape {tuple(x.shape)} and eps has {tuple(eps.shape)}; they must agree.")
    # Eq. 12, Song et al. 2021; Eq. 4, Diff-II
    ratio = math.sqrt(target / source)
    return ratio * (x - math.sqrt(1 - source) * eps) + math.sqrt(1 - target) * eps
