"""FLUX.1."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...typing import Float32
from ..schedulers import Scheduler
from .base import Guidance
from .flow import FlowModel, set_flow_timesteps
from .tokens import token_ids


@dataclass(frozen=True, kw_only=True)
class Flux1(FlowModel):
    """FLUX.1 dev and schnell: T5 for the tokens, CLIP for the pooled text, a transformer over packed latents.

    Packing is a permutation of cells, so masks meet the latents unpacked, in the loop. Both models are distilled: dev
    has the guidance scale as an input, schnell has none, and neither has an unconditional branch.
    """

    tokenizer: Any
    tokenizer_2: Any
    text_encoder: Any
    text_encoder_2: Any
    guidance_scale: float = 3.5
    """diffusers' value for dev."""

    @property
    def latent_channels(self) -> int:
        """Channels of an unpacked latent."""
        return int(self.transformer.config.in_channels) // self.patch**2

    @property
    def default_size(self) -> int:
        """128 cells; the transformer's config does not say it."""
        return 128 * self.latent_cell

    @property
    def guidance(self) -> Guidance:
        """dev: embedded; schnell: none."""
        return "embedded" if self.transformer.config.guidance_embeds else "none"

    @property
    def default_guidance(self) -> float:
        """The embedded scale; 1 where there is none."""
        return self.guidance_scale if self.guidance == "embedded" else 1.0

    def with_guidance(self, scale: float | int) -> Flux1:
        """The same weights with another embedded scale."""
        return dataclasses.replace(self, guidance_scale=float(scale))

    def encode(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """``tokens`` [tokens, width] of T5, and ``pooled`` [width] of CLIP."""
        # the published models' own lengths
        limit = 512 if self.guidance == "embedded" else 256
        long = token_ids(self.tokenizer_2, prompts, limit=limit)
        # CLIP gives one vector for the whole; T5 reads the words
        short = token_ids(self.tokenizer, prompts, limit=self.tokenizer.model_max_length, cut=True)
        tokens = self.text_encoder_2(long.to(self.device))[0].to(self.dtype)
        pooled = self.text_encoder(short.to(self.device)).pooler_output
        return [{"tokens": row, "pooled": of_row} for row, of_row in zip(tokens, pooled, strict=True)]

    def encode_negative(self, prompt: str) -> dict[str, Tensor]:
        """As any prompt; the engine does not ask for it, because guidance is distilled."""
        return self.encode([prompt])[0]

    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        """Even sigmas, shifted by the image's size for dev."""
        tokens = (height // self.patch) * (width // self.patch)
        set_flow_timesteps(scheduler, self.scheduler, steps, tokens, even=True)

    def predict(
        self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: dict[str, Tensor]
    ) -> Tensor:
        """One transformer call over all rows, packed before and unpacked after."""
        rows, _, height, width = latents.shape
        embedded = self.guidance == "embedded"
        predicted = self.transformer(
            hidden_states=pack(latents).to(self.dtype),
            timestep=timestep.expand(rows) / 1000,
            guidance=latents.new_full((rows,), self.guidance_scale) if embedded else None,
            pooled_projections=conditioning["pooled"],
            encoder_hidden_states=conditioning["tokens"],
            txt_ids=latents.new_zeros(conditioning["tokens"].shape[1], 3).to(self.dtype),
            img_ids=_places(height // 2, width // 2, latents).to(self.dtype),
            return_dict=False,
        )[0]
        return unpack(predicted.float(), height, width)


def pack(latents: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n tokens c4"]:
    """Patches of 2 x 2 cells as tokens [n, h/2 * w/2, 4c]."""
    count, channels, height, width = latents.shape
    patches = latents.reshape(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(count, -1, channels * 4)


def unpack(tokens: Float32[Tensor, "n tokens c4"], height: int, width: int) -> Float32[Tensor, "n c h w"]:
    """The inverse of ``pack``, for latents of ``height`` by ``width`` cells."""
    count, _, channels = tokens.shape
    patches = tokens.reshape(count, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(count, channels // 4, height, width)


def _places(height: int, width: int, like: Tensor) -> Tensor:
    """Row and column of each token, [tokens, 3], for the rotary embedding; the first of the three is 0."""
    places = like.new_zeros(height, width, 3)
    places[..., 1] = torch.arange(height, device=like.device)[:, None]
    places[..., 2] = torch.arange(width, device=like.device)
    return places.reshape(-1, 3)
