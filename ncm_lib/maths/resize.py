"""Masks from one grid to another without changing their mean."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float, Float64


def area_resize(mask: Float[Tensor, "*batch h w"], height: int, width: int) -> Float[Tensor, "*batch height width"]:
    """Resize a mask by exact overlap areas, which keeps its mean for any pair of sizes.

    m'[i, k] = sum_jl Y[i, j] * X[k, l] * m[j, l] / (H * W), with Y[i, j] the overlap of the new row
    [i*H, (i+1)*H) with the old row [j*h', (j+1)*h'), both in units of 1/(H*h') of the mask's height, H the old and h'
    the new number of rows, and X likewise along the width. ``torch.nn.functional.interpolate(mode="area")`` has whole
    cells only and changes the mean where the sizes do not divide (65 -> 8).

    Args:
        mask: values in [0, 1]; the last two dimensions are resized, upwards or downwards.
        height: new number of rows, at least 1.
        width: new number of columns, at least 1.

    Returns:
        The resized mask, in the input's dtype and on its device; computed in float64, so that the mean differs by that
        dtype's rounding only.

    Raises:
        InputError: a size is below 1, or the mask holds NaN or values outside [0, 1].

    Example:
        >>> area_resize(torch.tensor([[1.0, 0.0, 0.0]]), 1, 2).tolist()
        [[0.6666666865348816, 0.0]]
    """
    old_height, old_width = mask.shape[-2:]
    if min(height, width, old_height, old_width) < 1:
        raise InputError(
            f"A mask of {old_height} x {old_width} cells cannot become {height} x {width}; every side needs at least 1."
        )
    # float64 does not exist on every device, and masks are small
    values = mask.detach().to(device="cpu", dtype=torch.float64)
    if values.numel() and not bool(((values >= 0) & (values <= 1)).all()):
        raise InputError(
            f"The mask has values from {values.min():g} to {values.max():g}; a mask is a share between 0 and 1 "
            "per cell, without NaN. Clamp it to [0, 1], or divide it by its maximum."
        )
    rows, columns = _overlaps(old_height, height), _overlaps(old_width, width)
    # whole numbers as far as here, so the only rounding of a binary mask is this division
    resized = torch.einsum("ij,...jl,kl->...ik", rows, values, columns) / (old_height * old_width)
    return resized.to(device=mask.device, dtype=mask.dtype)


def _overlaps(old: int, new: int) -> Float64[Tensor, "new old"]:
    new_edges, old_edges = np.arange(new + 1) * old, np.arange(old + 1) * new
    low = np.maximum(new_edges[:-1, None], old_edges[None, :-1])
    high = np.minimum(new_edges[1:, None], old_edges[None, 1:])
    return torch.as_tensor(np.maximum(high - low, 0).astype(np.float64))
