"""The finished model in diffusers' folder layout: fp16 safetensors, configs, class list, defaults."""

import json
from pathlib import Path

import torch
from denoiser import Denoiser
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer


def write(
    out: Path,
    vae: AutoencoderKL,
    model: Denoiser,
    tokenizer: CLIPTokenizer,
    classes: tuple[str, ...],
    guidance_scale: float,
) -> None:
    """Write the pipeline to ``out``, with its class list and defaults."""
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        timestep_spacing="linspace",
        steps_offset=1,
        final_sigmas_type="zero",
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(out, safe_serialization=True)
    (out / "ncm.json").write_text(json.dumps({"guidance_scale": guidance_scale}) + "\n")
    (out / "classes.json").write_text(json.dumps({"classes": list(classes), "meta_class": ""}, indent=2) + "\n")
