"""The denoising loop that every method runs on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maths.mixing import guide, mix_predictions
from ..typing import Float32
from .families import Family
from .schedulers import Scheduler


@dataclass(frozen=True, kw_only=True)
class EarlyConditions:
    """The first stage of two-stage denoising (Diff-II): other conditions in the first steps of each sample."""

    conditions: Sequence[Tensor]
    """K tensors [N, tokens, width]."""
    steps: Sequence[int]
    """How many of the first steps, per sample."""

    def at(self, step: int, later: Sequence[Tensor]) -> list[Tensor]:
        """The conditions of one step."""
        first_stage = torch.tensor([step < steps for steps in self.steps], device=later[0].device)[:, None, None]
        return [torch.where(first_stage, early, late) for early, late in zip(self.conditions, later, strict=True)]


def early_steps(fraction: float | int, num_inference_steps: int) -> int:
    """How many of the first steps ``fraction`` of them is: floor, so .1 of 25 is 2, .3 is 7, .5 is 12 and .7 is 17."""
    # the summand keeps .3 * 10 = 2.9999999999999996 from losing a step
    return math.floor(fraction * num_inference_steps + 1e-9)


@torch.inference_mode()
def denoise(
    family: Family,
    scheduler: Scheduler,
    noise: Float32[Tensor, "n c h w"],
    conditions: Sequence[Tensor],
    masks: Sequence[Float32[Tensor, "n 1 h w"]],
    *,
    early: EarlyConditions | None = None,
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
        early: what takes the conditions' place in each sample's first steps.
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
    branches = len(conditions) + (unconditional is not None)
    conditioning = torch.empty(0)
    takes_generator = "generator" in scheduler.step.__code__.co_varnames
    extra = {"generator": list(generators)} if takes_generator else {}
    for step, timestep in enumerate(scheduler.timesteps):
        if step == 0 or (early is not None and step in early.steps):
            now = conditions if early is None else early.at(step, conditions)
            conditioning = torch.cat([*now] if unconditional is None else [unconditional, *now])
        rows = scheduler.scale_model_input(latents, timestep).repeat(branches, 1, 1, 1)
        predictions = family.predict(rows, timestep, conditioning).chunk(branches)
        # Eq. 1, NoiseCutMix: e = M_1 e_1 + ... + M_K e_K
        mixed = mix_predictions(predictions[-len(conditions) :], masks)
        if unconditional is not None:
            mixed = guide(predictions[0], mixed, guidance_scale)
        latents = scheduler.step(mixed, timestep, latents, return_dict=False, **extra)[0]
        if on_step is not None:
            on_step(step + 1)
    return latents
