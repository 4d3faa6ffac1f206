"""The four tasks: how an image was spoilt, and what that leaves to compare with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ..typing import Float

Task: TypeAlias = Literal["denoise", "inpaint", "super-resolve", "reconstruct"]
TASKS: tuple[Task, ...] = get_args(Task)
FACTORS = (2, 4)
"""By which super-resolution enlarges."""


class Problem(ABC):
    """One image and what is wrong with it.

    Attributes:
        start: the image as far as it is known, [1, C, H, W], in the size of the result: the ddpm input noises it.
    """

    start: Tensor
    _weights: Tensor | None = None

    def loss(self, output: Float[Tensor, "1 c h w"], kind: Literal["mse", "l1"]) -> Float[Tensor, ""]:
        """E of the network's output: the mean over known pixels of squared or absolute differences."""
        difference = self._difference(output)
        error = difference.square() if kind == "mse" else difference.abs()
        return error.mean() if self._weights is None else (error * self._weights).mean()

    def finish(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """The result that belongs to an output of the network."""
        return output

    @abstractmethod
    def _difference(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c k l"]:
        """The output, spoilt in the same way, minus what is there."""


class Fit(Problem):
    """denoise and reconstruct: all pixels are there, with noise or without."""

    def __init__(self, image: Float[Tensor, "1 c h w"]) -> None:
        self.start = image

    def _difference(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        return output - self.start


class Inpaint(Problem):
    """Some pixels are unknown; they start as the mean of the known ones.

    Args:
        image: what stands at wholly unknown pixels is not looked at.
        mask: 1 where a pixel is unknown, 0 where it is known; some of it must be known.
        keep_known: whether the known pixels go back into the result.
    """

    def __init__(self, image: Float[Tensor, "1 c h w"], mask: Float[Tensor, "1 1 h w"], *, keep_known: bool) -> None:
        self._known = 1 - mask
        self._weights = self._known / self._known.mean()
        self._keep_known = keep_known
        # whatever unknown pixels hold, NaN included, is gone before anything is computed
        self._image = torch.where(self._known > 0, image, 0.0)
        mean = (self._image * self._weights).mean((2, 3), keepdim=True)
        self.start = torch.lerp(mean.expand_as(image), self._image, self._known)

    def finish(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """Known pixels as they were, the others as the network painted them."""
        return torch.lerp(output, self._image.to(output.dtype), self._known) if self._keep_known else output

    def _difference(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        return output - self._image


class SuperResolve(Problem):
    """The image is a smaller version of the one that is wanted, by antialiased bicubic resizing."""

    def __init__(self, image: Float[Tensor, "1 c h w"], factor: int) -> None:
        self._image = image
        size = (image.shape[-2] * factor, image.shape[-1] * factor)
        self.start = F.interpolate(image, size, mode="bicubic", align_corners=False).clamp(0, 1)

    def _difference(self, output: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c k l"]:
        return shrink(output, (self._image.shape[-2], self._image.shape[-1])) - self._image


def shrink(image: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c k l"]:
    """Reduce images by antialiased bicubic resizing: how super-resolution takes its image to have been made."""
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)
