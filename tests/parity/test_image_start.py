"""Image starts of a trained model against the stock image-to-image pipeline, from the picture to the last latent."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as stock
from PIL import Image

from ncm_lib import RenderSettings, load_model, sample_noise
from ncm_lib.engine.render import Renderer
from ncm_lib.plan.sample import ClassWeight, Condition, FullMask, NoisedImage, Sample

from ..garments import GARMENTS

STEPS = 8
# The oracle configures diffusers' classes by itself, so that a wrong setting of ours shows.
STOCK = {
    "dpmsolver++": (DPMSolverMultistepScheduler, {"timestep_spacing": "linspace", "final_sigmas_type": "zero"}),
    "ddim": (DDIMScheduler, {"timestep_spacing": "trailing", "set_alpha_to_one": False, "clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
}
PROMPTS = ["a photo of a sneaker", "a photo of a bag", "a photo of a coat"]


@pytest.fixture(scope="module")
def garments():
    return load_model(GARMENTS, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def pictures(garments):
    """Smooth pictures of the model's own size, so that nothing is scaled or cut."""
    side = garments.family.default_size
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.stack([np.sin(k * x + c) * np.cos(k * y - c) for c in range(3)], axis=-1) for k in (3, 5, 9)]
    return [Image.fromarray(np.uint8(np.round((wave + 1) * 127.5))) for wave in waves]


def stock_latents(family, name, pictures, seeds, strength):
    kind, settings = STOCK[name]
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=family.vae, text_encoder=family.text_encoder, tokenizer=family.tokenizer, unet=family.unet,
        scheduler=kind.from_config(family.scheduler.config, steps_offset=1, **settings),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        posterior = family.vae.encode(pipeline.image_processor.preprocess(pictures)).latent_dist
        latents = posterior.mean * family.vae.config.scaling_factor
    with pytest.MonkeyPatch.context() as patch:
        noise = torch.stack([sample_noise(seed, latents.shape[1:]) for seed in seeds])
        patch.setattr(stock, "randn_tensor", lambda *_, **__: noise)
        return pipeline(
            prompt=PROMPTS, image=latents, strength=strength, num_inference_steps=STEPS, guidance_scale=5.0,
            output_type="latent",
        ).images  # fmt: skip


@pytest.mark.parametrize("strength", [0.25, 0.7, 1.0])
@pytest.mark.parametrize("name", STOCK)
def test_latents_equal_those_of_the_stock_pipeline(garments, pictures, name, strength):
    seeds = [7, 2**40 + 3, 11]
    samples = [
        Sample(
            index=row, seed=seed, conditions=(Condition(prompt=PROMPTS[row]),), mask=FullMask(),
            label=(ClassWeight(class_id=row, weight=1.0),), start=NoisedImage(source=str(row), strength=strength),
        )
        for row, seed in enumerate(seeds)
    ]  # fmt: skip
    settings = RenderSettings(num_inference_steps=STEPS, guidance_scale=5.0, scheduler=name)
    ours = Renderer(garments, settings, real_image=lambda content: pictures[int(content)]).latents(samples)
    expected = stock_latents(garments.family, name, pictures, seeds, strength)
    assert (ours - expected).abs().max() < 1e-4 * expected.abs().max()
