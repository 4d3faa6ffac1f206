"""Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from ...typing import Float32
from .stable_diffusion import StableDiffusion1, UNetModel
from .tokens import token_ids


@dataclass(frozen=True, kw_only=True)
class StableDiffusionXL(UNetModel):
    """SDXL: two CLIP text encoders side by side, the pooled text of the second, and the image's size as inputs."""

    tokenizer: Any
    tokenizer_2: Any
    text_encoder: Any
    text_encoder_2: Any
    clips: ClassVar[dict[str, str]] = {"clip_l": "", "clip_g": "_2"}
    zero_negative: bool = True
    """Whether an empty negative prompt is zeros (diffusers: force_zeros_for_empty_prompt)."""

    @property
    def default_guidance(self) -> float:
        """The value that diffusers has for SDXL."""
        return 5.0

    def encode(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """``tokens`` [tokens, width] of both encoders' last layers but one, and ``pooled`` [width] of the second."""
        read = self.read(
            [
                token_ids(tokenizer, prompts, limit=tokenizer.model_max_length).to(self.device)
                for tokenizer in (self.tokenizer, self.tokenizer_2)
            ]
        )
        return [dict(zip(read, row, strict=True)) for row in zip(*read.values(), strict=True)]

    def read(self, ids: Sequence[Tensor]) -> dict[str, Tensor]:
        """The same of a batch, given as token ids [n, tokens] of each text encoder."""
        first = self.text_encoder(ids[0], output_hidden_states=True)
        second = self.text_encoder_2(ids[1], output_hidden_states=True)
        tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return {"tokens": tokens, "pooled": second.text_embeds}

    def encode_negative(self, prompt: str) -> dict[str, Tensor]:
        """As any prompt, or zeros where it is empty and the model was trained so."""
        encoded = self.encode([prompt])[0]
        if prompt or not self.zero_negative:
            return encoded
        return {name: torch.zeros_like(tensor) for name, tensor in encoded.items()}

    def predict(
        self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: dict[str, Tensor]
    ) -> Tensor:
        """One UNet call over all rows; the images are told to be whole ones of their own size."""
        height, width = (side * self.latent_cell for side in latents.shape[-2:])
        # original height and width, the crop's top and left, target height and width
        sizes = latents.new_zeros(6)
        sizes[0::4], sizes[1::4] = height, width
        added = {"text_embeds": conditioning["pooled"], "time_ids": sizes.to(self.dtype).expand(len(latents), -1)}
        return self.unet(
            latents.to(self.dtype), timestep, conditioning["tokens"], added_cond_kwargs=added, return_dict=False
        )[0].float()


Inverted: TypeAlias = StableDiffusion1 | StableDiffusionXL
"""The families whose text encoders learn words by textual inversion."""
