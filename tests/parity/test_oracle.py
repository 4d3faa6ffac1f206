"""The engine against the stock pipeline: `[A.., B..]` in one call, its scheduler's step wrapped to mix the halves."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)

from ncm_lib.engine.denoise import denoise
from ncm_lib.engine.schedulers import fresh, make_scheduler
from ncm_lib.maths.masks import sample_cutmix_masks

STEPS = 6
# The oracle configures diffusers' classes by itself, so that a wrong setting of ours shows.
STOCK = {
    "dpmsolver++": (DPMSolverMultistepScheduler, {"timestep_spacing": "linspace", "final_sigmas_type": "zero"}),
    "ddim": (DDIMScheduler, {"timestep_spacing": "trailing", "set_alpha_to_one": False, "clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
}
PROMPTS = ["a photo of a sneaker", "a photo of a bag", "a photo of a coat", "a photo of a dress", "a photo of a shirt"]


def stock_latents(family, scheduler, noise, prompts_a, prompts_b, mask, guidance_scale):
    """Latents of the stock pipeline: 4N rows with guidance, both halves stepped with the mixed prediction."""
    step = scheduler.step

    def mixing_step(prediction, timestep, sample, **kwargs):
        of_a, of_b = prediction.chunk(2)
        return step((mask * of_a + (1 - mask) * of_b).repeat(2, 1, 1, 1), timestep, sample, **kwargs)

    scheduler.step = mixing_step
    pipeline = StableDiffusionPipeline(
        vae=family.vae, text_encoder=family.text_encoder, tokenizer=family.tokenizer, unet=family.unet,
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    result = pipeline(
        prompt=[*prompts_a, *prompts_b],
        latents=noise.repeat(2, 1, 1, 1),
        num_inference_steps=STEPS,
        guidance_scale=guidance_scale,
        output_type="latent",
    ).images
    first, second = result.chunk(2)
    assert torch.equal(first, second)
    return first


def our_latents(family, name, noise, prompts_a, prompts_b, mask, guidance_scale, generators=None):
    count = len(noise)
    with torch.inference_mode():
        rows = family.encode([*prompts_a, *prompts_b])
        empty = torch.stack(family.encode([""]) * count)
    return denoise(
        family,
        make_scheduler(family.scheduler, name),
        noise,
        [torch.stack(rows[:count]), torch.stack(rows[count:])],
        [mask, 1 - mask],
        unconditional=None if guidance_scale == 1 else empty,
        guidance_scale=guidance_scale,
        num_inference_steps=STEPS,
        generators=generators or [torch.Generator().manual_seed(k) for k in range(count)],
    )


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("name", STOCK)
def test_latents_equal_those_of_the_stock_pipeline(tiny_model, name, guidance_scale, count):
    family = tiny_model.family
    kind, settings = STOCK[name]
    scheduler = kind.from_config(family.scheduler.config, steps_offset=1, **settings)
    noise = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    mask = sample_cutmix_masks(count, 8, 8, seed=11).mask
    prompts_a, prompts_b = PROMPTS[:count], PROMPTS[::-1][:count]
    expected = stock_latents(family, scheduler, noise, prompts_a, prompts_b, mask, guidance_scale)
    ours = our_latents(family, name, noise, prompts_a, prompts_b, mask, guidance_scale)
    assert (ours - expected).abs().max() / expected.abs().max() <= 1e-5


def test_the_oracle_can_fail_when_the_mask_is_another(tiny_model):
    family = tiny_model.family
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    scheduler = make_scheduler(family.scheduler, "ddim")
    expected = stock_latents(family, scheduler, noise, PROMPTS[:1], PROMPTS[1:2], mask, 7.5)
    ours = our_latents(family, "ddim", noise, PROMPTS[:1], PROMPTS[1:2], 1 - mask, 7.5)
    assert (ours - expected).abs().max() / expected.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["euler-ancestral", "sde-dpmsolver++"])
def test_sample_k_of_five_equals_sample_k_alone_under_a_stochastic_scheduler(tiny_model, name):
    family = tiny_model.family
    noise = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    mask = sample_cutmix_masks(5, 8, 8, seed=11).mask

    def run(rows):
        generators = [torch.Generator().manual_seed(100 + k) for k in rows]
        picked = list(rows)
        return our_latents(
            family, name, noise[picked], [PROMPTS[k] for k in picked], [PROMPTS[::-1][k] for k in picked], mask[picked],
            7.5, generators,
        )  # fmt: skip

    together = run(range(5))
    for k in range(5):
        alone = run([k])
        assert (alone[0] - together[k]).abs().max() / together.abs().max() <= 1e-5
    other_noise = our_latents(family, name, noise, PROMPTS, PROMPTS[::-1], mask, 7.5)
    assert (other_noise - together).abs().max() / together.abs().max() > 1e-3


def test_paper_grid_is_linspace_from_999_to_40(tiny_model):
    scheduler = make_scheduler(tiny_model.family.scheduler, "dpmsolver++")
    scheduler.set_timesteps(25)
    timesteps = scheduler.timesteps.tolist()
    assert (len(timesteps), timesteps[:3], timesteps[-2:]) == (25, [999, 959, 919], [80, 40])
    assert scheduler.sigmas[-1] == 0


def test_a_scheduler_that_has_run_leaves_no_state_in_a_fresh_copy(tiny_model):
    scheduler = make_scheduler(tiny_model.family.scheduler, "dpmsolver++")
    before = len(scheduler.timesteps)
    fresh(scheduler).set_timesteps(7)
    assert len(scheduler.timesteps) == before != 7
