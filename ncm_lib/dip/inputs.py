"""What the network is fed with: fixed noise, fresh noise, or the image on its way to noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..maths.rng import uniforms
from ..maths.schedules import LinearSchedule
from ..typing import Float
from .config import InputConfig


class NetworkInput:
    """The inputs of a run, one per iteration; they depend on config, image and seed only.

    Args:
        config: which kind.
        image: x, the corrupted image with unknown pixels filled, [1, C, H, W] in [0, 1].
        seed: in [0, 2**63). Drawn on the image's device, so that other devices draw other noise.

    Example:
        >>> z = NetworkInput(InputConfig(kind="ddpm", t=0), torch.ones(1, 3, 8, 8), seed=0).next()
        >>> z.shape, bool((z - 1).abs().max() < 0.05)
        (torch.Size([1, 3, 8, 8]), True)
    """

    def __init__(self, config: InputConfig, image: Float[Tensor, "1 c h w"], *, seed: int) -> None:
        self._config = config
        self._image = image
        self.channels = image.shape[1] if config.kind == "ddpm" else config.channels
        # torch's CPU generator keeps 32 bits of a seed; these are spread over all of it
        word = int(uniforms(seed, "dip_input", 0, 1, 1)[0, 0] * 2.0**32)
        self._generator = torch.Generator(image.device).manual_seed(word)
        self._alpha_bar = LinearSchedule().alpha_bar.tolist()
        self._fixed = None
        if config.kind == "gaussian":
            self._fixed = self._noise()
        elif config.kind == "ddpm" and config.eta == "fixed":
            self._fixed = self._normal()

    def next(self) -> Float[Tensor, "1 k h w"]:
        """The next iteration's input."""
        config = self._config
        if config.kind == "ddpm":
            first, last = config.t_range
            drawn = torch.randint(first, last + 1, (), generator=self._generator, device=self._image.device)
            left = self._alpha_bar[int(drawn)]
            eta = self._normal() if self._fixed is None else self._fixed
            # Eq. 4, Ho et al. 2020, with the corrupted image as x_0
            return left**0.5 * self._image + (1 - left) ** 0.5 * eta
        if self._fixed is None:
            return self._noise()
        if not config.perturbation:
            return self._fixed
        return self._fixed + config.perturbation * self._normal()

    def _normal(self) -> Tensor:
        return self._draw(torch.randn)

    def _noise(self) -> Tensor:
        draw = torch.randn if self._config.distribution == "normal" else torch.rand
        return self._config.scale * self._draw(draw)

    def _draw(self, draw: Callable[..., Tensor]) -> Tensor:
        """In float32, so that the noise does not depend on the dtype."""
        shape = (1, self.channels, *self._image.shape[2:])
        return draw(shape, generator=self._generator, device=self._image.device).to(self._image.dtype)
