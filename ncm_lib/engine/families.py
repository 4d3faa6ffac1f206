"""One small adapter per model family: the only code that knows a family's components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float32
from .schedulers import Scheduler


@runtime_checkable
class Family(Protocol):
    """What the denoising loop needs to know of a model.

    To add a family: write the methods below over its components' public calls, and name its pipeline class in
    ``load._FAMILIES``. Latents stay in float32 outside; each adapter casts to the model's dtype.
    """

    @property
    def scheduler(self) -> Scheduler:
        """The model's own scheduler: its noise schedule and prediction type count, not its kind."""
        ...

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        ...

    @property
    def latent_cell(self) -> int:
        """Image pixels along one side of a latent cell; image sides are multiples of it."""
        ...

    @property
    def default_size(self) -> int:
        """Image side in pixels that the model was trained for."""
        ...

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """The conditioning of each prompt, on the model's device: one tensor [tokens, width] per prompt."""
        ...

    def predict(self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: Tensor) -> Tensor:
        """The model's prediction [rows, c, h, w] in float32; ``conditioning`` is [rows, tokens, width]."""
        ...

    def decode(self, latents: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 3 height width"]:
        """Images in [0, 1]; NaN where the model made NaN."""
        ...

    def encode_images(self, pixels: Float32[Tensor, "n 3 height width"]) -> Float32[Tensor, "n c h w"]:
        """The latents of images in [0, 1]: the mean of the autoencoder's posterior, so that nothing is drawn."""
        ...


@dataclass(frozen=True, kw_only=True)
class StableDiffusion1:
    """SD 1.x: one CLIP text encoder, a UNet in 4 latent channels, an ``AutoencoderKL``."""

    tokenizer: Any
    text_encoder: Any
    unet: Any
    vae: Any
    scheduler: Scheduler
    device: torch.device
    dtype: torch.dtype

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.unet.config.in_channels)

    @property
    def latent_cell(self) -> int:
        """Image pixels along one side of a latent cell."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def default_size(self) -> int:
        """Image side in pixels that the model was trained for."""
        return int(self.unet.config.sample_size) * self.latent_cell

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Last hidden states of the text encoder, one [tokens, width] per prompt."""
        limit = self.tokenizer.model_max_length
        for prompt in prompts:
            tokens = len(self.tokenizer(prompt).input_ids)
            if tokens > limit:
                raise InputError(
                    f"The prompt {prompt!r} has {tokens} tokens and the text encoder reads {limit}; the end would be "
                    "cut off, perhaps with the class name. Shorten the prompt or the class name."
                )
        ids = self.tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt").input_ids
        return list(self.text_encoder(ids.to(self.device))[0])

    def predict(self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: Tensor) -> Tensor:
        """One UNet call over all rows."""
        return self.unet(latents.to(self.dtype), timestep, conditioning, return_dict=False)[0].float()

    def decode(self, latents: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 3 height width"]:
        """VAE decoding, scaled from [-1, 1] to [0, 1]."""
        pixels = self.vae.decode(latents.to(self.dtype) / self.vae.config.scaling_factor, return_dict=False)[0]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def encode_images(self, pixels: Float32[Tensor, "n 3 height width"]) -> Float32[Tensor, "n c h w"]:
        """VAE posterior's mean times the scaling factor."""
        posterior = self.vae.encode((pixels * 2 - 1).to(self.device, self.dtype), return_dict=False)[0]
        return posterior.mean.float() * self.vae.config.scaling_factor
