"""Mixing predictions: by masks (several classes in one image) and by guidance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float


def mix_predictions(
    predictions: Sequence[Float[Tensor, " n *dims"]], masks: Sequence[Float[Tensor, " ..."]]
) -> Float[Tensor, " n *dims"]:
    """Mix the predictions of K conditions, each in the region of its mask.

    e = M_1*e_1 + ... + M_K*e_K, with e_k the prediction for condition k and M_k its mask. It serves predictions of
    noise, velocity, x0 and flow alike: all are affine in one another for the same x_t.

    Args:
        predictions: K >= 1 tensors of one shape, [N, C, H, W] or packed as the model has it.
        masks: K tensors that broadcast to the predictions, such as [N, 1, H, W]; values in [0, 1] that sum to one per
            cell (not checked here: this runs at every step).

    Returns:
        The mix, in the predictions' dtype.

    Raises:
        InputError: the numbers of predictions and masks differ, or shapes do not fit.

    Example:
        >>> left = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
        >>> mix_predictions([torch.full((1, 1, 1, 2), 3.0), torch.full((1, 1, 1, 2), 5.0)], [left, 1 - left]).tolist()
        [[[[3.0, 5.0]]]]

    Reference:
        Eq. 1, NoiseCutMix (Takezaki et al., ICCV Workshops 2025).
    """
    if not predictions or len(predictions) != len(masks):
        raise InputError(f"{len(predictions)} predictions and {len(masks)} masks came; give one mask per prediction.")
    shape = predictions[0].shape
    for k, (prediction, mask) in enumerate(zip(predictions, masks, strict=True)):
        if prediction.shape != shape:
            raise InputError(
                f"Prediction {k} has shape {tuple(prediction.shape)} and prediction 0 has {tuple(shape)}; "
                "all must be of one shape."
            )
        if not _broadcasts(mask.shape, shape):
            raise InputError(
                f"Mask {k} has shape {tuple(mask.shape)}, which does not fit predictions of {tuple(shape)}; "
                "bring it to the latent grid first (area_resize), as [N, 1, H, W] or [1, 1, H, W]."
            )
    # Eq. 1, NoiseCutMix
    mixed = masks[0] * predictions[0]
    for mask, prediction in zip(masks[1:], predictions[1:], strict=True):
        mixed = mixed + mask * prediction
    return mixed.to(predictions[0].dtype)


def guide(
    uncond: Float[Tensor, " *dims"], cond: Float[Tensor, " *dims"], scale: float | int
) -> Float[Tensor, " *dims"]:
    """Guide a conditional prediction away from the unconditional one (classifier-free guidance).

    e = e_u + g * (e_c - e_u), with e_u the unconditional prediction, e_c the conditional one and g the scale.

    Args:
        uncond: e_u.
        cond: e_c, of the same shape; for NoiseCutMix the mixed prediction, because mixing and guiding commute when
            e_u is shared.
        scale: g; 1 gives e_c, 0 gives e_u.

    Returns:
        The guided prediction.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> guide(torch.tensor([1.0]), torch.tensor([2.0]), 3.0).tolist()
        [4.0]

    Reference:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022 (their w is scale - 1).
    """
    if uncond.shape != cond.shape:
        raise InputError(
            f"The unconditional prediction has shape {tuple(uncond.shape)} and the conditional one has "
            f"{tuple(cond.shape)}; they must agree."
        )
    # Eq. 6, Ho and Salimans 2022
    return uncond + scale * (cond - uncond)


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(
        size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(target), strict=False)
    )
