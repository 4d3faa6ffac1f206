"""A model whose new words and LoRA can be learned, and the loss that they are learned by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..engine.families.stable_diffusion_xl import Inverted
from ..engine.load import Model
from ..engine.schedulers import make_scheduler
from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.prompts import class_prompts
from ..typing import Float32, Int64
from .concepts_config import ConceptTraining
from .concepts_lora import lora
from .concepts_words import new_words, start_rows


class Denoiser(nn.Module):
    """Text encoders and UNet as one module, as distributed training wants it."""

    def __init__(self, family: Inverted) -> None:
        super().__init__()
        self.family = family
        self.text_encoders = nn.ModuleList(getattr(family, f"text_encoder{end}") for end in family.clips.values())
        self.unet = family.unet

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Sequence[Tensor]) -> Tensor:
        """The UNet's prediction under prompts given as token ids [n, tokens] for each text encoder."""
        conditioning: Any = self.family.read(ids)
        return self.family.predict(latents, timesteps, conditioning)


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What is learned, and what it is learned with."""

    denoiser: Denoiser
    rows: dict[str, nn.Parameter]
    """Of the new words, [classes * tokens, width], by text encoder."""
    lora: dict[str, nn.Parameter]
    """By diffusers' keys."""
    ids: tuple[Int64[Tensor, "classes tokens"], ...]
    """Every class's prompt as token ids of each text encoder, on the model's device."""
    schedule: Any
    """diffusers' DDPM scheduler of the model's noise schedule and prediction type."""
    min_snr_gamma: float | None

    def parameters(self) -> dict[str, nn.Parameter]:
        """All that is learned, by name."""
        suffixes = self.denoiser.family.clips
        return {f"rows{suffixes[name]}": rows for name, rows in self.rows.items()} | self.lora

    def losses(
        self,
        denoiser: nn.Module,
        latents: Float32[Tensor, "n c h w"],
        noise: Float32[Tensor, "n c h w"],
        timesteps: Int64[Tensor, " n"],
        class_ids: Int64[Tensor, " n"],
    ) -> Float32[Tensor, " n"]:
        """The loss of every row: mean((f(x_t, t, prompt) - target)^2), weighted where min-SNR is asked for.

        Args:
            denoiser: ``self.denoiser``, perhaps wrapped for several processes.
            latents: x_0, scaled.
            noise: eta.
            timesteps: t.
            class_ids: whose prompts.
        """
        # Eq. 4, Ho et al. 2020: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eta
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        velocity = self.schedule.config.prediction_type == "v_prediction"
        # Eq. 12, Salimans and Ho 2022: v = sqrt(alpha_bar_t) eta - sqrt(1 - alpha_bar_t) x_0
        target = self.schedule.get_velocity(latents, noise, timesteps) if velocity else noise
        predicted = denoiser(noisy, timesteps, [ids[class_ids] for ids in self.ids])
        per_row = F.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))
        if self.min_snr_gamma is None:
            return per_row
        alpha_bar = self.schedule.alphas_cumprod.to(timesteps.device)[timesteps]
        snr = alpha_bar / (1 - alpha_bar)
        # Hang et al. 2023, 3.4: w = min(SNR, gamma) / SNR for noise, min(SNR, gamma) / (SNR + 1) for velocity
        return per_row * snr.clamp(max=self.min_snr_gamma) / (snr + 1 if velocity else snr)


@contextmanager
def learner(model: Model, classes: ClassList, config: ConceptTraining) -> Generator[Learner]:
    """Inside, the model has new words and a LoRA; it is as it was when the block ends.

    Args:
        model: SD 1.x, 2.x or SDXL.
        classes: C classes with the new words that stand for each.
        config: rank, start words, template and seed count.

    Raises:
        InputError: the model is of another family or in another dtype, a prompt is too long, or see ``new_words``,
            ``start_rows`` and ``lora``.
    """
    family = learnable(model, config)
    words = [word for own in classes.tokens for word in own.split()]
    prompts = class_prompts(classes, config.prompt)
    rows: dict[str, nn.Parameter] = {}
    ids: list[Tensor] = []
    with ExitStack() as stack:
        for name, suffix in family.clips.items():
            clip = getattr(family, f"tokenizer{suffix}"), getattr(family, f"text_encoder{suffix}")
            start = start_rows(*clip, len(words), config.init_word)
            tokenizer, extended = stack.enter_context(new_words(*clip, words, start))
            rows[name] = extended.rows
            ids.append(token_ids(tokenizer, prompts).to(model.device))
        adapters = stack.enter_context(lora(family.unet, rank=config.rank, seed=config.seed))
        if config.gradient_checkpointing:
            family.unet.enable_gradient_checkpointing()
            stack.callback(family.unet.disable_gradient_checkpointing)
        yield Learner(
            denoiser=Denoiser(family),
            rows=rows,
            lora=adapters,
            ids=tuple(ids),
            schedule=make_scheduler(family.scheduler, "DDPMScheduler"),
            min_snr_gamma=config.min_snr_gamma,
        )


def learnable(model: Model, config: ConceptTraining) -> Inverted:
    """The model's parts; InputError where concepts cannot be learned on it with these options."""
    family = model.family
    if not isinstance(family, Inverted):
        raise InputError(
            f"The model {model.name} is of the family {type(family).__name__}; concepts can be learned on SD 1.x, 2.x "
            "and SDXL."
        )
    kind = family.scheduler.config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise InputError(f"The model {model.name} predicts {kind!r}; concepts are learned on epsilon or v_prediction.")
    wanted = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[config.mixed_precision]
    if model.dtype not in (wanted, torch.float32):
        raise InputError(
            f"The model's weights are {str(model.dtype).removeprefix('torch.')} and mixed_precision is "
            f"{config.mixed_precision}; load it with dtype {str(wanted).removeprefix('torch.')} or float32."
        )
    if config.mixed_precision == "fp16" and model.device.type != "cuda":
        raise InputError(f"mixed_precision fp16 needs a CUDA device, and this is {model.device}; take bf16 or no.")
    return family


def token_ids(tokenizer: Any, prompts: Sequence[str]) -> Int64[Tensor, "n tokens"]:
    """Padded token ids; InputError where a prompt is longer than the text encoder reads."""
    limit = tokenizer.model_max_length
    for prompt in prompts:
        count = len(tokenizer(prompt).input_ids)
        if count > limit:
            raise InputError(
                f"The prompt {prompt!r} has {count} tokens and the text encoder reads {limit}. Take fewer "
                "tokens_per_class or a shorter prompt."
            )
    return tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt").input_ids
