"""KSampler with two prompts and a mask."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io
from torch import Tensor

from .guider import CFG, MASK, NEGATIVE, POSITIVE_A, POSITIVE_B, Conditioning, MixingGuider
from .sockets import CATEGORY


class DualPromptMixedSampler(io.ComfyNode):
    """In the place of KSampler: with a mask of ones it gives KSampler's latents bit for bit."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_DualPromptMixedSampler",
            display_name="Dual-Prompt Mixed Sampler",
            category=CATEGORY,
            description="KSampler with two prompts: at every step the noise predicted for class A and for class B is "
            "mixed by the mask, so that two classes melt into one picture.",
            inputs=[
                io.Model.Input("model", tooltip="The model that denoises, with whatever patches and LoRAs it carries."),
                io.Conditioning.Input("positive_a", tooltip=POSITIVE_A),
                io.Conditioning.Input("positive_b", tooltip=POSITIVE_B),
                io.Conditioning.Input("negative", tooltip=NEGATIVE),
                io.Latent.Input(
                    "latent_image",
                    tooltip="An empty latent for new images, or an encoded image with denoise below 1 to change it. "
                    "Its noise_mask (inpainting) is respected. Time and memory grow with its batch size.",
                ),
                io.Mask.Input("mask", tooltip=MASK),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Fixes the noise, exactly as KSampler's seed does. The noise of sample k of a batch "
                    "depends on the samples before it; link Per-Sample Noise where it must not.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=10000,
                    tooltip="More steps: cleaner images, time grows in proportion.",
                ),
                io.Float.Input("cfg", default=7.5, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=CFG),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.KSampler.SAMPLERS,
                    default="dpmpp_2m",
                    tooltip="How a step is taken; dpmpp_2m is the paper's. Ancestral and SDE samplers draw the whole "
                    "batch's noise at once, so their images depend on the batch size.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    default="normal",
                    tooltip="Where the steps lie. None of these is the paper's grid: for that, use Named Sigmas with "
                    "the NoiseCutMix Guider.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 the image in the latent shines through; 0 returns it unchanged.",
                ),
                io.Noise.Input(
                    "noise",
                    optional=True,
                    tooltip="Start noise in place of the seed's own, such as Per-Sample Noise or Noise from Latent. "
                    "The seed then serves stochastic samplers only.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The denoised latents, for VAE Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive_a: Conditioning,
        positive_b: Conditioning,
        negative: Conditioning,
        latent_image: dict[str, Any],
        mask: Tensor,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        noise: Any = None,
    ) -> io.NodeOutput:
        """Sample."""
        samples = comfy.sample.fix_empty_latent_channels(model, latent_image["samples"])
        if noise is None:
            start = comfy.sample.prepare_noise(samples, seed, latent_image.get("batch_index"))
        else:
            start = noise.generate_noise({**latent_image, "samples": samples})
        guider = MixingGuider(model)
        guider.set_mix(positive_a, positive_b, negative, mask)
        guider.set_cfg(cfg)
        # only its sigmas: they are KSampler's own, denoise included
        sigmas = comfy.samplers.KSampler(
            model, steps, model.load_device, sampler_name, scheduler, denoise, model.model_options
        ).sigmas
        denoised = guider.sample(
            start,
            samples,
            comfy.samplers.sampler_object(sampler_name),
            sigmas,
            denoise_mask=latent_image.get("noise_mask"),
            callback=latent_preview.prepare_callback(model, steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        return io.NodeOutput({**latent_image, "samples": denoised.to(comfy.model_management.intermediate_device())})
