"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ...typing import Float32
from .latent import LatentModel
from .tokens import token_ids


@dataclass(frozen=True, kw_only=True)
class UNetModel(LatentModel):
    """A ``UNet2DConditionModel`` over latents, with or without further inputs."""

    unet: Any

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.unet.config.in_channels)

    @property
    def default_size(self) -> int:
        """Image side in pixels that the model was trained for."""
        return int(self.unet.config.sample_size) * self.latent_cell


@dataclass(frozen=True, kw_only=True)
class StableDiffusion1(UNetModel):
    """SD 1.x and 2.x: one CLIP text encoder, a UNet in 4 latent channels, an ``AutoencoderKL``.

    Whether the UNet predicts noise (1.x, 2.x base) or velocity (2.x at 768 px) is the scheduler's prediction type, and
    Eq. 1 mixes both.
    """

    tokenizer: Any
    text_encoder: Any
    clips: ClassVar[dict[str, str]] = {"clip_l": ""}
    """Text encoder, by ComfyUI's name -> what its fields end in: ``tokenizer_2`` and ``text_encoder_2`` of SDXL."""

    @property
    def default_guidance(self) -> float:
        """NoiseCutMix 4.3's value."""
        return 7.5

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Last hidden states of the text encoder, one [tokens, width] per prompt."""
        ids = token_ids(self.tokenizer, prompts, limit=self.tokenizer.model_max_length)
        return list(self.read([ids.to(self.device)]))

    def read(self, ids: Sequence[Tensor]) -> Tensor:
        """The same of a batch [n, tokens, width], given as token ids [n, tokens] of each text encoder."""
        return self.text_encoder(ids[0])[0]

    def encode_negative(self, prompt: str) -> Tensor:
        """As any prompt."""
        return self.encode([prompt])[0]

    def predict(self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: Tensor) -> Tensor:
        """One UNet call over all rows."""
        return self.unet(latents.to(self.dtype), timestep, conditioning, return_dict=False)[0].float()
