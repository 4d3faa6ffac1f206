"""What all families share: an ``AutoencoderKL`` whose latents are shifted and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...typing import Float32
from ..schedulers import Scheduler
from .base import Guidance

ModelT = TypeVar("ModelT", bound="LatentModel")


@dataclass(frozen=True, kw_only=True)
class LatentModel:
    """A model over an autoencoder's latents, guided by an unconditional branch unless its family says otherwise."""

    vae: Any
    scheduler: Scheduler
    device: torch.device
    dtype: torch.dtype

    @property
    def latent_cell(self) -> int:
        """Image pixels along one side of a latent cell."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def size_multiple(self) -> int:
        """What image sides are multiples of."""
        return self.latent_cell

    @property
    def guidance(self) -> Guidance:
        """How the model is guided."""
        return "classifier-free"

    def with_guidance(self: ModelT, scale: float | int) -> ModelT:  # noqa: ARG002
        """Itself: the scale is the loop's."""
        return self

    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:  # noqa: ARG002
        """Lay out the scheduler's steps, the same for all sizes."""
        scheduler.set_timesteps(steps, device="cpu")

    def forget(self) -> None:
        """Nothing is kept from step to step."""

    def decode(self, latents: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 3 height width"]:
        """VAE decoding, scaled from [-1, 1] to [0, 1]."""
        unscaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor + self._shift
        return (self.vae.decode(unscaled, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)

    def encode_images(self, pixels: Float32[Tensor, "n 3 height width"]) -> Float32[Tensor, "n c h w"]:
        """VAE posterior's mean, shifted and scaled."""
        posterior = self.vae.encode((pixels * 2 - 1).to(self.device, self.vae.dtype), return_dict=False)[0]
        return (posterior.mean.float() - self._shift) * self.vae.config.scaling_factor

    @property
    def _shift(self) -> float:
        return self.vae.config.get("shift_factor") or 0.0
