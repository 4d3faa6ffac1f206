"""MASK sockets brought to the latent grid of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.resize import area_resize

BATCH_RULE = (
    "Mask k goes with sample k; with fewer masks than samples they start over, and masks beyond the last sample are "
    "not used."
)


def mask_batch(mask: Tensor) -> Tensor:
    """A MASK in any of the shapes that nodes give it, checked, as [M, h, w] in float32 on the CPU.

    Raises:
        InputError: another shape, no mask at all, NaN, or values outside of [0, 1].
    """
    planes = mask.detach().to("cpu", torch.float32)
    if planes.ndim == 2:
        planes = planes[None]
    if planes.ndim == 4 and planes.shape[1] == 1:
        planes = planes[:, 0]
    if planes.ndim != 3 or not planes.numel():
        raise InputError(
            f"The MASK has the shape {list(mask.shape)}; legal is [masks, height, width] with at least one."
        )
    if not bool(((planes >= 0) & (planes <= 1)).all()):
        raise InputError(
            "The MASK has NaN or values outside of [0, 1]; each value is class A's share of a cell. "
            "Put a node behind it that clamps it to 0..1."
        )
    return planes


def latent_masks(mask: Tensor, shape: torch.Size) -> Tensor:
    """Class A's share per latent cell and sample: exact overlap areas, masks dealt out by ``BATCH_RULE``.

    Args:
        mask: as ``mask_batch`` takes it, of any resolution with the latents' proportions.
        shape: of the latents, [N, C, h, w] or [N, C, frames, h, w].

    Returns:
        [N, h, w], or [N, frames, h, w] with the mask in every frame.

    Raises:
        InputError: as ``mask_batch``, or the proportions differ by a latent cell or more.
    """
    if len(shape) not in (4, 5):
        raise InputError(f"The latents have the shape {list(shape)}; a mask needs images or video, [N, C, h, w].")
    planes = mask_batch(mask)
    height, width = shape[-2:]
    old_height, old_width = planes.shape[-2:]
    # images are cut to whole cells, so a mask of the image's size may be just short of a cell too high or too wide
    too_high = old_height * width - old_width * height
    if too_high >= old_width or -too_high >= old_height:
        raise InputError(
            f"The MASK is {old_width} x {old_height} and the latents are {width} x {height} (width x height): their "
            f"proportions differ. Make the mask at the image's size, or at {width} x {height}."
        )
    planes = area_resize(planes, height, width)
    planes = planes[torch.arange(shape[0]) % len(planes)]
    return planes if len(shape) == 4 else planes[:, None].expand(-1, shape[2], -1, -1)
