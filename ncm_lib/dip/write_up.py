"""The protocol of the write-up that fed forward noise to a deep image prior, to show what it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..maths.rng import uniforms
from ..typing import Float
from .config import InputConfig, UNetConfig
from .inputs import NetworkInput
from .networks import build_network
from .quality import psnr, ssim

Feed: TypeAlias = Literal["noise", "image"]
ITERATIONS = 500
LEARNING_RATE = 0.002


@dataclass(frozen=True, kw_only=True)
class WriteUpResult:
    """The protocol's numbers for one image."""

    psnr: float
    """dB."""
    ssim: float
    """With data_range 1, which images in [0, 1] have."""
    ssim_255: float
    """With the data_range 255 of the write-up: near 1 whatever the images are."""


def write_up_protocol(
    clean: Float[Tensor, "1 h w"],
    *,
    fed: Feed,
    seed: int = 0,
    iterations: int = ITERATIONS,
    learning_rate: float = LEARNING_RATE,
) -> WriteUpResult:
    """Train on the clean image, with the clean image in the input, and evaluate on new pure noise.

    L1 loss, Adam 0.002, 500 iterations, U-Net of widths 10/20/40, one input channel. Nothing is restored: the clean
    image is the target, and with ``fed="image"`` the input, z_t of it with t ~ U{0..999} and fresh noise each time.

    Args:
        clean: gray, in [0, 1]; the write-up's are 128x128.
        fed: noise: N(0, I), fresh in each iteration. image: the clean image's z_t.
        seed: of the network and all noise.
        iterations: of training.
        learning_rate: Adam's.

    Returns:
        PSNR and two SSIM of the output for new noise.

    Example:
        >>> write_up_protocol(torch.rand(1, 16, 16), fed="image", iterations=1).ssim_255 > 0.9
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        target = clean[None].clone()
        noise = InputConfig(kind="fresh", channels=1, distribution="normal", scale=1.0)
        inputs = NetworkInput(InputConfig(kind="ddpm") if fed == "image" else noise, target, seed=seed)
        word = int(uniforms(seed, "dip_network", 0, 1, 1)[0, 0] * 2.0**32)
        network = build_network(UNetConfig(), 1, 1, (clean.shape[-2], clean.shape[-1]), seed=word)
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
        for _ in range(iterations):
            optimizer.zero_grad()
            (network(inputs.next()) - target).abs().mean().backward()
            optimizer.step()
        unseen = NetworkInput(noise, target, seed=seed + 1)
        with torch.no_grad():
            output = network(unseen.next())
    return WriteUpResult(
        psnr=psnr(output, target),
        ssim=ssim(output, target, window="uniform"),
        ssim_255=ssim(output, target, data_range=255, window="uniform"),
    )
