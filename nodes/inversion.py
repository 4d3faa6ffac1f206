"""DDIM inversion: from an encoded image to the noise that denoises to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.model_sampling import CONST, EPS, V_PREDICTION
from comfy_api.latest import io
from torch import Tensor
from tqdm.auto import trange

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.inversion import ddim_step
from .guider import Conditioning, check_rows
from .sigmas import falling
from .sockets import CATEGORY

Step = Callable[[Callable[[Tensor, float], Tensor], Tensor, float, float], tuple[Tensor, Tensor]]
"""(denoise, x, sigma_from, sigma_to) -> (x at sigma_to, the denoised latent that the model predicted)."""


def _noise_step(denoise: Any, x: Tensor, source: float, target: float) -> tuple[Tensor, Tensor]:
    """Eq. 4, Diff-II: x is variance-preserving, and e is evaluated at the destination."""
    # the model divides by the same root: what its network sees is x itself
    scaled = x * math.sqrt(1 + target**2)
    denoised = denoise(scaled, target)
    return ddim_step(x, (scaled - denoised) / target, _alpha_bar(source), _alpha_bar(target)), denoised


def _velocity_step(denoise: Any, x: Tensor, source: float, target: float) -> tuple[Tensor, Tensor]:
    """As ``_noise_step``; v is evaluated at the destination and read at the source, as diffusers does."""
    denoised = denoise(x * math.sqrt(1 + target**2), target)
    # Eq. 10, Salimans and Ho 2022: x0 = sqrt(a) x - sqrt(1 - a) v, and e = sqrt(a) v + sqrt(1 - a) x
    end = _alpha_bar(target)
    velocity = (math.sqrt(end) * x - denoised) / math.sqrt(1 - end)
    start = _alpha_bar(source)
    noise = math.sqrt(start) * velocity + math.sqrt(1 - start) * x
    return ddim_step(x, noise, start, end), denoised


def _flow_step(denoise: Any, x: Tensor, source: float, target: float) -> tuple[Tensor, Tensor]:
    """The Euler step of a rectified flow, its velocity evaluated at the destination."""
    denoised = denoise(x, target)
    return x + (target - source) * (x - denoised) / target, denoised


_STEPS: dict[type, Step] = {EPS: _noise_step, V_PREDICTION: _velocity_step, CONST: _flow_step}


def _alpha_bar(sigma: float) -> float:
    return 1 / (1 + sigma**2)


def _step_of(model: Any) -> Step:
    sampling = model.get_model_object("model_sampling")
    # ComfyUI builds the class of a schedule and of what the model predicts
    kind = next(base for base in type(sampling).__mro__[1:] if base is object or hasattr(base, "calculate_denoised"))
    if kind not in _STEPS:
        raise InputError(
            f"The model predicts {kind.__name__}; DDIM inversion is for models that predict noise (EPS), velocity "
            "(V_PREDICTION) or flow (CONST). Link the model without the node that changes its sampling."
        )
    return _STEPS[kind]


class InversionSampler(comfy.samplers.Sampler):
    """Walks up the sigmas; run by a guider, so that the model meets what it meets under any sampler.

    ``noise`` has the outcome: what a sampler has to get as noise, beside an empty latent, to start where this walk
    ended. At the model's noisiest level that is the variance-preserving latent x_T itself. What the guider returns is
    of no use here, since it goes through the latent format once more.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self.noise = torch.empty(0)

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,  # noqa: ARG002, ComfyUI's own form
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,  # noqa: ARG002
        disable_pbar: bool = False,
    ) -> Tensor:
        """Invert ``latent_image`` along rising sigmas."""
        x = latent_image.float()
        rows = x.new_ones(len(x))
        levels = sigmas.tolist()
        for step in trange(len(levels) - 1, disable=disable_pbar):
            x, denoised = self._step(
                lambda scaled, sigma: model_wrap(scaled, sigma * rows, **extra_args), x, levels[step], levels[step + 1]
            )
            if callback is not None:
                callback(step, denoised, x, len(levels) - 1)
        # undo what the sampler will do to noise (ModelSampling.noise_scaling)
        last = levels[-1]
        if self._step is _flow_step:
            self.noise = x / last
        elif self.max_denoise(model_wrap, sigmas.flip(0)):
            self.noise = x
        else:
            self.noise = x * math.sqrt(1 + last**-2)
        return x


class DDIMInversion(io.ComfyNode):
    """For Diff-II: the real images' own noise."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_DDIMInversion",
            display_name="DDIM Inversion",
            category=CATEGORY,
            description="Walks from encoded images to the noise that denoises to them, without guidance. Circle "
            "Interpolation makes new noise of several, and Noise from Latent takes it to the sampler.",
            inputs=[
                io.Model.Input("model", tooltip="The model that will denoise later, with the same patches and LoRAs."),
                io.Conditioning.Input(
                    "positive",
                    tooltip="What the images show, such as the prompt of their class: one row for all, or one for "
                    "each image. There is no negative.",
                ),
                io.Latent.Input("latent_image", tooltip="The images, from VAE Encode. The batch is inverted together."),
                io.Sigmas.Input(
                    "sigmas",
                    tooltip="In the order of denoising, most noise first. They must begin where the sampler's begin; "
                    "Named Sigmas with DDIM trailing is the library's choice. More steps invert more exactly, time "
                    "grows in proportion: one model row per image and step.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="noise latent",
                    tooltip="Noise of about unit variance, for Circle Interpolation and Noise from Latent. It is no "
                    "picture: VAE Decode would show nothing of use.",
                )
            ],
        )

    @classmethod
    def execute(cls, model: Any, positive: Conditioning, latent_image: dict[str, Any], sigmas: Tensor) -> io.NodeOutput:
        """Invert."""
        levels = falling(sigmas)
        samples = latent_image["samples"]
        if samples.is_nested:
            raise InputError(
                "The LATENT holds several tensors (such as picture and sound); DDIM inversion is for pictures. Give it "
                "the picture's LATENT."
            )
        if not samples.any():
            raise InputError("The LATENT is empty, so there is nothing to invert. Link VAE Encode with your images.")
        check_rows("The conditioning", positive, len(samples))
        sampler = InversionSampler(_step_of(model))
        guider = comfy.samplers.CFGGuider(model)
        # as BasicGuider: no negative, no guidance
        guider.inner_set_conds({"positive": positive})
        guider.sample(
            torch.zeros_like(samples),
            samples,
            sampler,
            torch.tensor(levels[::-1]),
            callback=latent_preview.prepare_callback(model, len(levels) - 1),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        )
        if not bool(torch.isfinite(sampler.noise).all()):
            raise InputError(
                "The inversion came to NaN or infinite values. A model in half precision is the usual cause: start "
                "ComfyUI with --force-fp32."
            )
        kept = {key: value for key, value in latent_image.items() if key != "noise_mask"}
        return io.NodeOutput({**kept, "samples": sampler.noise.to(comfy.model_management.intermediate_device())})
