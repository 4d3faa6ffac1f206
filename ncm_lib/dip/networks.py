"""The two untrained networks, for images of any size from 8x8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..typing import Float
from .config import SkipConfig, UNetConfig

SMALLEST = 8
"""Pixels of the shorter side."""


def build_network(
    config: SkipConfig | UNetConfig, in_channels: int, out_channels: int, size: tuple[int, int], *, seed: int
) -> nn.Module:
    """Make an untrained network for images of one size.

    Args:
        config: which one, and how wide.
        in_channels: of its input.
        out_channels: of the image.
        size: height and width, at least 8 each. Scales that would leave fewer than 2x2 pixels are left out; sizes that
            the scales do not divide are padded by reflection, and the output is cropped.
        seed: fixes the weights; torch's own generator stays as it is.

    Returns:
        A module from [1, in_channels, H, W] to [1, out_channels, H, W] in [0, 1], on the CPU in float32.

    Raises:
        InputError: a side is below 8.

    Example:
        >>> network = build_network(SkipConfig(widths=(4, 8)), 2, 3, (9, 21), seed=0)
        >>> network(torch.zeros(1, 2, 9, 21)).shape
        torch.Size([1, 3, 9, 21])
    """
    if min(size) < SMALLEST:
        raise InputError(f"The image has {size[0]} x {size[1]} pixels; a network needs at least {SMALLEST} per side.")
    # 2 pixels are left after log2(side) - 1 halvings
    widths = config.widths[: min(size).bit_length() - 2]
    with seeded(seed):
        if isinstance(config, SkipConfig):
            body = _SkipScale(in_channels, list(widths), config.skip_channels)
        else:
            body = _UNetScale(in_channels, list(widths))
        head = nn.Conv2d(widths[0], out_channels, 1)
    return _SizeFree(nn.Sequential(body, head, nn.Sigmoid()), 2 ** len(widths))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the block's random weights from a seed, and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class _SizeFree(nn.Module):
    """Pads by reflection to a multiple, and crops what comes out."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, z: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 d h w"]:
        height, width = z.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        if down or right:
            z = F.pad(z, (right // 2, right - right // 2, down // 2, down - down // 2), mode="reflect")
        out = self.network(z)
        return out[..., down // 2 : down // 2 + height, right // 2 : right // 2 + width]


def _conv(before: int, after: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, stride, padding=size // 2, padding_mode="reflect")


def _norm(channels: int) -> nn.BatchNorm2d:
    # of the one image: there are no statistics to keep
    return nn.BatchNorm2d(channels, track_running_stats=False)


def _step(before: int, after: int, size: int, stride: int = 1) -> list[nn.Module]:
    conv = _conv(before, after, size, stride) if size > 1 else nn.Conv2d(before, after, 1)
    return [conv, _norm(after), nn.LeakyReLU(0.2, inplace=True)]


class _SkipScale(nn.Module):
    """One scale of the classical network around the coarser ones: half the size, back, beside what was skipped."""

    def __init__(self, before: int, widths: Sequence[int], skip_channels: int) -> None:
        super().__init__()
        width, *coarser = widths
        self.skip = nn.Sequential(*_step(before, skip_channels, 1)) if skip_channels else None
        self.down = nn.Sequential(*_step(before, width, 3, stride=2), *_step(width, width, 3))
        self.coarser = _SkipScale(width, coarser, skip_channels) if coarser else nn.Identity()
        merged = (coarser[0] if coarser else width) + skip_channels
        self.up = nn.Sequential(_norm(merged), *_step(merged, width, 3), *_step(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        below = F.interpolate(self.coarser(self.down(x)), scale_factor=2, mode="bilinear", align_corners=False)
        return self.up(below if self.skip is None else torch.cat([below, self.skip(x)], 1))


class _UNetScale(nn.Module):
    """One scale of the U-Net around the coarser ones: two convolutions, half the size, back, beside what was there."""

    def __init__(self, before: int, widths: Sequence[int]) -> None:
        super().__init__()
        width, *coarser = widths
        self.first = _pair(before, width)
        if coarser:
            self.down = _conv(width, width, 3, stride=2)
            self.coarser = _UNetScale(width, coarser)
            self.last = _pair(width + coarser[0], width)
        else:
            self.down = self.coarser = self.last = None

    def forward(self, x: Tensor) -> Tensor:
        here = self.first(x)
        if self.down is None or self.coarser is None or self.last is None:
            return here
        below = F.interpolate(self.coarser(self.down(here)), scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([here, below], 1))


def _pair(before: int, after: int) -> nn.Sequential:
    # one group is LayerNorm over (C, H, W), with a scale per channel so that any size will do
    return nn.Sequential(
        _conv(before, after, 3), nn.GroupNorm(1, after), nn.SiLU(), _conv(after, after, 3), nn.SiLU()
    )  # fmt: skip
