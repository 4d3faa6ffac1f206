"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...typing import Float32
from ..schedulers import Scheduler
from .flow import FlowModel, set_flow_timesteps
from .tokens import token_ids


@dataclass(frozen=True, kw_only=True)
class StableDiffusion3(FlowModel):
    """SD 3 and 3.5: two CLIP text encoders and, if it was kept, T5; an MMDiT over 16 latent channels."""

    tokenizer: Any
    tokenizer_2: Any
    tokenizer_3: Any = None
    text_encoder: Any
    text_encoder_2: Any
    text_encoder_3: Any = None
    """None saves its memory; its tokens are zeros then."""
    long_tokens: int = 256
    """Tokens that T5 is given (diffusers: max_sequence_length)."""

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.transformer.config.in_channels)

    @property
    def patch(self) -> int:
        """Latent cells along one side of a token."""
        return int(self.transformer.config.patch_size)

    @property
    def default_size(self) -> int:
        """Image side in pixels that the model was trained for."""
        return int(self.transformer.config.sample_size) * self.latent_cell

    @property
    def default_guidance(self) -> float:
        """The value that diffusers has for SD 3."""
        return 7.0

    def encode(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """``tokens`` [tokens, width]: both CLIPs side by side, then T5's; ``pooled`` [width] of both CLIPs."""
        # T5 reads what the CLIPs cut off
        cut = self.text_encoder_3 is not None
        outputs = [
            encoder(
                token_ids(tokenizer, prompts, limit=self.tokenizer.model_max_length, cut=cut).to(self.device),
                output_hidden_states=True,
            )
            for tokenizer, encoder in (
                (self.tokenizer, self.text_encoder),
                (self.tokenizer_2, self.text_encoder_2),
            )
        ]
        short = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        width = self.transformer.config.joint_attention_dim
        short = torch.nn.functional.pad(short, (0, width - short.shape[-1]))
        if self.text_encoder_3 is None:
            long = short.new_zeros(len(prompts), self.long_tokens, width)
        else:
            ids = token_ids(self.tokenizer_3, prompts, limit=self.long_tokens)
            long = self.text_encoder_3(ids.to(self.device))[0].to(short.dtype)
        tokens = torch.cat([short, long], dim=-2)
        pooled = torch.cat([output.text_embeds for output in outputs], dim=-1)
        return [{"tokens": row, "pooled": of_row} for row, of_row in zip(tokens, pooled, strict=True)]

    def encode_negative(self, prompt: str) -> dict[str, Tensor]:
        """As any prompt."""
        return self.encode([prompt])[0]

    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        """The scheduler's own steps, shifted by the image's size where the model wants that."""
        tokens = (height // self.patch) * (width // self.patch)
        set_flow_timesteps(scheduler, self.scheduler, steps, tokens, even=False)

    def predict(
        self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: dict[str, Tensor]
    ) -> Tensor:
        """One transformer call over all rows."""
        return self.transformer(
            hidden_states=latents.to(self.dtype),
            timestep=timestep.expand(len(latents)),
            encoder_hidden_states=conditioning["tokens"],
            pooled_projections=conditioning["pooled"],
            return_dict=False,
        )[0].float()
