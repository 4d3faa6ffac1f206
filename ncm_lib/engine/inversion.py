"""DDIM inversion: from an image's latent to the noise that denoises to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float32
from .conditioning import Conditioning
from .denoise import denoise
from .families import Family
from .schedulers import Scheduler, make_scheduler

InversionSpacing = Literal["trailing", "leading"]


def inverse_scheduler(own: Scheduler, spacing: InversionSpacing) -> Scheduler:
    """The ``DDIMInverseScheduler`` of diffusers on the grid that DDIM denoises on.

    Both ends are alpha_bar of t = 0 (set_alpha_to_one False), so that inverting and denoising meet.

    Raises:
        InputError: the model does not predict noise or velocity over discrete timesteps.
    """
    from diffusers import DDIMInverseScheduler

    prediction = own.config.get("prediction_type", "epsilon")
    if "num_train_timesteps" not in own.config or "beta_schedule" not in own.config:
        raise InputError(
            f"DDIM inversion needs a model with discrete noise levels; this one's scheduler is {type(own).__name__}. "
            "Flow models (SD 3, FLUX) are not inverted."
        )
    if prediction not in ("epsilon", "v_prediction"):
        raise InputError(
            f"The model predicts {prediction!r}; DDIM inversion is for models that predict noise (epsilon) or velocity "
            "(v_prediction)."
        )
    shared = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")
    return DDIMInverseScheduler(
        **{key: own.config[key] for key in shared if key in own.config},
        rescale_betas_zero_snr=own.config.get("rescale_betas_zero_snr", False),
        timestep_spacing=spacing,
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


@torch.inference_mode()
def invert_latents(
    family: Family,
    latents: Float32[Tensor, "n c h w"],
    conditioning: Conditioning,
    *,
    num_inference_steps: int,
    spacing: InversionSpacing = "trailing",
    on_step: Callable[[int], None] | None = None,
) -> Float32[Tensor, "n c h w"]:
    """Walk latents from the image to noise.

    x_t = sqrt(a_t / a_s) (x_s - sqrt(1 - a_s) e) + sqrt(1 - a_t) e along rising timesteps s -> t, with
    e = f(x_s, c, t) evaluated at the destination, and no guidance.

    Args:
        family: the model.
        latents: of ``family.encode_images``.
        conditioning: n rows, the prompt of each image's class.
        num_inference_steps: more steps invert more exactly, time grows in proportion.
        spacing: "trailing" ends at the noisiest level; "leading" is the published code's.
        on_step: called with the number of finished steps.

    Returns:
        x_T: noise of about unit variance.

    Raises:
        InputError: the model is of a kind that is not inverted.

    Reference:
        Eq. 4, Diff-II (Wang and Chen, CVPR 2025), with sqrt(a_t / a_s) where the print has a misprint.
    """
    scheduler = inverse_scheduler(family.scheduler, spacing)
    scheduler.set_timesteps(num_inference_steps, device=latents.device)
    for step, timestep in enumerate(scheduler.timesteps):
        prediction = family.predict(latents, timestep, conditioning)
        # Eq. 4, Diff-II
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
        if on_step is not None:
            on_step(step + 1)
    return latents


def reconstruct_latents(
    family: Family,
    inverted: Float32[Tensor, "n c h w"],
    conditioning: Conditioning,
    *,
    num_inference_steps: int,
    spacing: InversionSpacing = "trailing",
    on_step: Callable[[int], None] | None = None,
) -> Float32[Tensor, "n c h w"]:
    """Denoise inversions by DDIM on the same grid, without guidance: how well ``invert_latents`` is undone."""
    scheduler = make_scheduler(family.scheduler, "ddim", spacing=spacing)
    count, _, height, width = inverted.shape
    return denoise(
        family,
        scheduler,
        inverted,
        [conditioning],
        [torch.ones(count, 1, height, width, device=inverted.device)],
        unconditional=None,
        guidance_scale=1.0,
        num_inference_steps=num_inference_steps,
        generators=[torch.Generator() for _ in range(count)],
        on_step=on_step,
    )


def psnr(images: Sequence[Tensor] | Tensor, others: Sequence[Tensor] | Tensor) -> list[float]:
    """Peak signal-to-noise ratio of images in [0, 1], in dB: -10 log10 of the mean squared error."""
    errors = [float(((one.double() - other.double()) ** 2).mean()) for one, other in zip(images, others, strict=True)]
    return [float("inf") if error == 0 else float(-10 * torch.log10(torch.tensor(error))) for error in errors]
