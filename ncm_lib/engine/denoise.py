"""The denoising loop that every method runs on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..maths.mixing import guide, mix_predictions
from ..typing import Float32
from .conditioning import Conditioning, choose, concatenate
from .families import Family
from .schedulers import Scheduler, begin, noised, scaled_input, scaled_noise


@dataclass(frozen=True, kw_only=True)
class EarlyConditions:
    """The first stage of two-stage denoising (Diff-II): other conditions in the first steps of each sample."""

    conditions: Sequence[Conditioning]
    """K batches of N rows."""
    steps: Sequence[int]
    """How many of the first steps, per sample."""

    def at(self, step: int, later: Sequence[Conditioning]) -> list[Conditioning]:
        """The conditions of one step."""
        first_stage = [step < steps for steps in self.steps]
        return [choose(first_stage, early, late) for early, late in zip(self.conditions, later, strict=True)]


def early_steps(fraction: float | int, num_inference_steps: int) -> int:
    """How many of the first steps ``fraction`` of them is: floor, so .1 of 25 is 2, .3 is 7, .5 is 12 and .7 is 17."""
    # the summand keeps .3 * 10 = 2.9999999999999996 from losing a step
    return math.floor(fraction * num_inference_steps + 1e-9)


@torch.inference_mode()
def denoise(
    family: Family,
    scheduler: Scheduler,
    noise: Float32[Tensor, "n c h w"],
    conditions: Sequence[Conditioning],
    masks: Sequence[Float32[Tensor, "n 1 h w"]],
    *,
    early: EarlyConditions | None = None,
    unconditional: Conditioning | None,
    guidance_scale: float,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    num_inference_steps: int,
    generators: Sequence[torch.Generator],
    images: Float32[Tensor, "n c h w"] | None = None,
    first_step: int = 0,
    on_step: Callable[[int], None] | None = None,
) -> Float32[Tensor, "n c h w"]:
    """Denoise N samples, each under K conditions mixed by K masks.

    Every step makes **one** model call of (K+1)*N rows, or K*N where there is no ``unconditional``: its prediction does
    not depend on the mask, so one row of it per sample is exact. Nothing in a step waits for the device.

    Args:
        family: the model.
        scheduler: fresh, of the model's noise schedule; its state is used up.
        noise: unit-variance noise, on the model's device.
        conditions: K batches of N rows, of ``family.encode``.
        masks: K masks that sum to one per cell.
        early: what takes the conditions' place in each sample's first steps.
        unconditional: N rows of the negative prompt; None without guidance, or where it is embedded in the model.
        guidance_scale: g of classifier-free guidance.
        guidance_interval: shares of the steps between which there is guidance; outside of them a step makes K*N rows.
        num_inference_steps: steps, at least 1.
        generators: one per sample (CPU), for schedulers that draw noise: sample k of N equals sample k alone.
        images: latents of images to start from, which get ``noise`` at the level of ``first_step``; None starts from
            noise alone.
        first_step: how many of the first steps are left out.
        on_step: called with the number of finished steps, left-out ones included.

    Returns:
        The final latents.
    """
    family.set_timesteps(scheduler, num_inference_steps, *noise.shape[-2:])
    first = first_step * scheduler.order
    begin(scheduler, first)
    latents = scaled_noise(scheduler, noise) if images is None else noised(scheduler, images, noise, first)
    # schedulers do their arithmetic on the CPU; only the model needs the timesteps on its device
    timesteps = scheduler.timesteps.to(noise.device)
    start, stop = (early_steps(share, len(scheduler.timesteps)) for share in guidance_interval)
    empty: Conditioning | None = None
    branches = len(conditions)
    conditioning: Conditioning = {}
    takes_generator = "generator" in scheduler.step.__code__.co_varnames
    extra = {"generator": list(generators)} if takes_generator else {}
    for step, timestep in enumerate(scheduler.timesteps[first:], first):
        # second-order schedulers call the model twice in a step
        whole_steps, part = divmod(step, scheduler.order)
        if step in (first, start, stop) or (early is not None and not part and whole_steps in early.steps):
            now = conditions if early is None else early.at(whole_steps, conditions)
            empty = unconditional if start <= step < stop else None
            conditioning = concatenate([*now] if empty is None else [empty, *now])
            branches = len(conditions) + (empty is not None)
            family.forget()
        rows = scaled_input(scheduler, latents, timestep).repeat(branches, 1, 1, 1)
        predictions = family.predict(rows, timesteps[step], conditioning).chunk(branches)
        # Eq. 1, NoiseCutMix: e = M_1 e_1 + ... + M_K e_K
        mixed = mix_predictions(predictions[-len(conditions) :], masks)
        if empty is not None:
            mixed = guide(predictions[0], mixed, guidance_scale)
        latents = scheduler.step(mixed, timestep, latents, return_dict=False, **extra)[0]
        if on_step is not None:
            on_step(step + 1)
    family.forget()
    return latents
