"""What a restoration is refused for, each in one line."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float
from .networks import SMALLEST
from .tasks import FACTORS, TASKS


def check_task(task: str, factor: int, *, masked: bool) -> None:
    """Raise InputError where the task is unknown, or where mask and factor do not go with it."""
    if task not in TASKS:
        raise InputError(f"The task is {task!r}; legal is {', '.join(TASKS)}.")
    if task == "super-resolve" and factor not in FACTORS:
        raise InputError(f"The factor is {factor}; super-resolution enlarges by {' or '.join(map(str, FACTORS))}.")
    if task == "inpaint" and not masked:
        raise InputError("The task inpaint needs a mask, 1 where a pixel is unknown; give one, or take denoise.")
    if task != "inpaint" and masked:
        raise InputError(f"A mask came for the task {task}, which uses none; leave it out, or take inpaint.")


def image_batch(image: Tensor) -> Tensor:
    """The images as [N, C, H, W]; values are looked at by ``check_values``."""
    if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3):
        raise InputError(
            f"The image has the shape {list(image.shape)}; legal is [C, H, W] or [N, C, H, W] with 1 or 3 channels. "
            "Leave an alpha channel out, or put the picture on a background first."
        )
    if min(image.shape[-2:]) < SMALLEST or (image.ndim == 4 and not len(image)):
        raise InputError(f"The image has the shape {list(image.shape)}; at least one of {SMALLEST} x {SMALLEST} pixels "
                         "is needed.")  # fmt: skip
    return image if image.ndim == 4 else image[None]


def mask_batch(mask: Tensor, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """One mask per image, [N, 1, H, W]."""
    planes = mask.to(images.device, images.dtype)
    planes = planes[None] if planes.ndim == 2 else planes
    planes = planes[:, None] if planes.ndim == 3 else planes
    if planes.ndim != 4 or planes.shape[1:] != (1, *images.shape[2:]) or len(planes) not in (1, len(images)):
        raise InputError(
            f"The mask has the shape {list(mask.shape)} and the images have {list(images.shape)}; the mask needs their "
            "height and width, and one plane for all images or one for each."
        )
    if not bool(((planes >= 0) & (planes <= 1)).all()):
        raise InputError("The mask holds NaN or values outside [0, 1]; 1 is an unknown pixel, 0 a known one.")
    if not bool((planes < 1).flatten(1).any(1).all()):
        raise InputError(
            "A mask covers the whole image, so nothing is known that it could be restored from; unmask some."
        )
    return planes.expand(len(images), -1, -1, -1)


def check_values(images: Float[Tensor, "n c h w"], masks: Float[Tensor, "n 1 h w"] | None) -> None:
    """Raise InputError where known pixels are NaN or outside [0, 1]."""
    legal = (images >= 0) & (images <= 1)
    if not bool((legal if masks is None else legal | (masks == 1)).all()):
        low, high = float(images.min()), float(images.max())
        raise InputError(
            f"The image has values from {low:g} to {high:g}; they must be from 0 to 1, without NaN. "
            "Divide 8-bit images by 255 and 16-bit ones by 65535."
        )


def clean_batch(clean: Tensor, images: Float[Tensor, "n c h w"], times: int) -> Float[Tensor, "n c k l"]:
    """The clean images as [N, C, H, W] in the size of the results, on the CPU: not every device has float64."""
    goals = (clean if clean.ndim == 4 else clean[None]).to("cpu", torch.float64)
    wanted = (*images.shape[:2], images.shape[2] * times, images.shape[3] * times)
    if goals.shape != wanted:
        raise InputError(f"The clean image has the shape {list(clean.shape)}; the result will have {list(wanted)}.")
    return goals
