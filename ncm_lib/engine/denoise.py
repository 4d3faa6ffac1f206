"""The denoising loop that every method runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..maths.mixing import guide, mix_predictions
from ..typing import Float32
from .families import Family
from .schedulers import Scheduler


@torch.inference_mode()
def denoise(
    family: Family,
    scheduler: Scheduler,
    noise: Float32[Tensor, "n c h w"],
    conditions: Sequence[Tensor],
    masks: Sequence[Float32[Tensor, "n 1 h w"]],
    *,
    unconditional: Tensor | None,
    guidance_scale: float,
    num_inference_steps: int,
    generators: Sequence[torch.Generator],
    on_step: Callable[[int], None] | None = None,
) -> Float32[Tensor, "n c h w"]:
    """Denoise N samples, each under K conditions mixed by K masks.

    Every step makes **one** model call of (K+1)*N rows, or K*N where ``guidance_scale`` is 1: the unconditional
    prediction does not depend on the mask, so one row of it per sample is exact.

    Args:
        family: the model.
        scheduler: fresh, of the model's noise schedule; its state is used up.
        noise: unit-variance noise, on the model's device.
        conditions: K tensors [N, tokens, width], of ``family.encode``.
        masks: K masks that sum to one per cell.
        unconditional: [N, tokens, width] of the negative prompt; None without guidance.
        guidance_scale: g of classifier-free guidance.
        num_inference_steps: steps, at least 1.
        generators: one per sample (CPU), for schedulers that draw noise: sample k of N equals sample k alone.
        on_step: called with the number of finished steps.

    Returns:
        The final latents.
    """
    scheduler.set_timesteps(num_inference_steps, device=noise.device)
    latents = noise * scheduler.init_noise_sigma
    branches = [*conditions] if unconditional is None else [unconditional, *conditions]
    conditioning = torch.cat(branches)
    takes_generator = "generator" in scheduler.step.__code__.co_varnames
    extra = {"generator": list(generators)} if takes_generator else {}
    for step, timestep in enumerate(scheduler.timesteps):
        rows = scheduler.scale_model_input(latents, timestep).repeat(len(branches), 1, 1, 1)
        predictions = family.predict(rows, timestep, conditioning).chunk(len(branches))
        # Eq. 1, NoiseCutMix: e = M_1 e_1 + ... + M_K e_K
        mixed = mix_predictions(predictions[-len(conditions) :], masks)
        if unconditional is not None:
            mixed = guide(predictions[0], mixed, guidance_scale)
        latents = scheduler.step(mixed, timestep, latents, return_dict=False, **extra)[0]
        if on_step is not None:
            on_step(step + 1)
    return latents
