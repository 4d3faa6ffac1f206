"""Soft labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float, Float32, Float64, Int

_TOLERANCE = 1e-6


def soft_labels(
    class_ids: Int[Tensor, "n k"] | Int[np.ndarray, "n k"],
    weights: Float[Tensor, "n k"] | Float[np.ndarray, "n k"],
    num_classes: int,
) -> Float32[Tensor, "n num_classes"]:
    """Spread class weights into label vectors.

    y[i] = sum_k weights[i, k] * onehot(class_ids[i, k]); weights of equal ids in a row add up.

    Args:
        class_ids: in [0, num_classes).
        weights: finite, at least 0, summing to one per row within 1e-6.
        num_classes: C, at least 1.

    Returns:
        Rows that sum to one, on the device of ``weights`` (the CPU for arrays).

    Raises:
        InputError: the shapes differ, or a row breaks one of the rules above; the message names the first such row.

    Example:
        >>> soft_labels(torch.tensor([[2, 0]]), torch.tensor([[0.75, 0.25]]), 3).tolist()
        [[0.25, 0.0, 0.75]]

    Reference:
        Eq. 2, NoiseCutMix.
    """
    shares = torch.as_tensor(weights)
    ids = torch.as_tensor(class_ids, device=shares.device).long()
    if ids.ndim != 2 or ids.shape != shares.shape:
        raise InputError(
            f"class_ids has shape {tuple(ids.shape)} and weights has {tuple(shares.shape)}; both must be [n, k], one "
            "weight per class id."
        )
    if num_classes < 1:
        raise InputError(f"num_classes is {num_classes}; it must be at least 1.")
    exact = shares.detach().to("cpu", torch.float64)
    bad_ids = (ids < 0) | (ids >= num_classes)
    bad_shares = ~(torch.isfinite(exact) & (exact >= 0))
    _refuse(bad_ids.any(1).cpu(), f"class ids must be from 0 to {num_classes - 1}", ids)
    _refuse(bad_shares.any(1), "weights must be finite and at least 0", exact)
    _refuse((exact.sum(1) - 1).abs() > _TOLERANCE, "weights must sum to one within 1e-6", exact)
    # Eq. 2, NoiseCutMix: y = w_A onehot(A) + w_B onehot(B)
    labels = torch.zeros(len(ids), num_classes, dtype=torch.float64)
    return labels.scatter_add_(1, ids.cpu(), exact).to(shares.device, torch.float32)


def translated_share(strength: Float64[np.ndarray, " n"], gamma: float | int = 0.8) -> Float64[np.ndarray, " n"]:
    """Share of the class in the prompt, for images of another class that were translated to it.

    y = (1 - s**gamma) onehot(i) + s**gamma onehot(j), with i the class of the image and j that of the prompt.

    Args:
        strength: s, in (0, 1].
        gamma: above 0. Below 1 the prompt's class gets more than s.

    Returns:
        s**gamma, in (0, 1].

    Example:
        >>> translated_share(np.array([0.5, 0.7])).round(8).tolist()
        [0.57434918, 0.75175865]

    Reference:
        Diff-Mix (Wang et al., CVPR 2024).
    """
    return strength**gamma


def _refuse(bad_rows: Tensor, rule: str, values: Tensor) -> None:
    if bool(bad_rows.any()):
        row = int(bad_rows.int().argmax())
        found = ", ".join(f"{float(value):.9g}" for value in values[row])
        raise InputError(f"Label row {row} has {found}; {rule}. Rows at fault: {int(bad_rows.sum())}.")
