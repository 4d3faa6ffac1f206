"""A LoRA that was distilled to few steps, as such files are published, with the scheduler that it is made for."""

import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.denoise import denoise
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.schedulers import make_scheduler

STEPS, COUNT = 4, 3
PROMPTS = ["a photo of a sneaker", "a photo of a bag", "a photo of a coat"]


@pytest.fixture(scope="module")
def lora(tiny_folder, tmp_path_factory):
    """Names and scales as in the published LCM-LoRA for SD 1.5: kohya's, of the UNet's attentions alone."""
    unet = load_model(tiny_folder, device="cpu").family.unet
    generator, tensors = torch.Generator().manual_seed(5), {}
    for name, module in unet.named_modules():
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0", "proj_in")) and module.weight.ndim == 2:
            key = f"lora_unet_{name.replace('.', '_')}"
            tensors[f"{key}.lora_down.weight"] = torch.randn(4, module.in_features, generator=generator) * 0.3
            tensors[f"{key}.lora_up.weight"] = torch.randn(module.out_features, 4, generator=generator) * 0.3
            tensors[f"{key}.alpha"] = torch.tensor(2.0)
    file = tmp_path_factory.mktemp("lcm") / "pytorch_lora_weights.safetensors"
    save_file(tensors, file)
    return file


def stock_latents(folder, lora, noise, mask):
    """diffusers' pipeline with the LoRA beside the weights, its scheduler's step wrapped to mix the two halves."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(lora.parent, weight_name=lora.name)
    scheduler = pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    step = scheduler.step

    # the pipeline looks at the names to know whether a step draws
    def mixing_step(prediction, timestep, sample, generator=None, return_dict=True):
        of_a, of_b = prediction.chunk(2)
        mixed = (mask * of_a + (1 - mask) * of_b).repeat(2, 1, 1, 1)
        return step(mixed, timestep, sample, generator=generator, return_dict=return_dict)

    scheduler.step = mixing_step
    result = pipeline(
        prompt=[*PROMPTS, *PROMPTS[::-1]], latents=noise.repeat(2, 1, 1, 1), num_inference_steps=STEPS,
        guidance_scale=1.0, output_type="latent", generator=[*generators(), *generators()],
    ).images  # fmt: skip
    first, second = result.chunk(2)
    assert torch.equal(first, second)
    return first


def generators():
    return [torch.Generator().manual_seed(100 + row) for row in range(COUNT)]


def our_latents(model, noise, mask):
    family = model.family
    with torch.inference_mode():
        rows = family.encode([*PROMPTS, *PROMPTS[::-1]])
    return denoise(
        family, make_scheduler(family.scheduler, "lcm"), noise,
        [torch.stack(rows[:COUNT]), torch.stack(rows[COUNT:])], [mask, 1 - mask], unconditional=None,
        guidance_scale=1.0, num_inference_steps=STEPS, generators=generators(),
    )  # fmt: skip


def test_a_few_step_lora_with_its_scheduler_equals_the_stock_pipeline(tiny_folder, lora):
    noise = torch.randn(COUNT, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    mask = (torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(4)) > 0.5).float()
    expected = stock_latents(tiny_folder, lora, noise, mask)
    ours = our_latents(load_model(tiny_folder, device="cpu", lora={str(lora): 1.0}), noise, mask)
    assert (ours - expected).abs().max() / expected.abs().max() <= 1e-5
    without = our_latents(load_model(tiny_folder, device="cpu"), noise, mask)
    assert (without - expected).abs().max() / expected.abs().max() > 1e-2


def test_a_sample_of_a_batch_is_that_sample_alone(tiny_model):
    method = NoiseCutMix(classes=ClassList.of(["bag", "coat"]))
    method = method.resolved(seed=0, latent_height=8, latent_width=8, latent_cell=2)
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=STEPS, scheduler="lcm", guidance_scale=1.0))
    together = renderer.latents([method.plan_one(index) for index in range(3)])
    alone = renderer.latents([method.plan_one(2)])
    assert (together[2] - alone[0]).abs().max() / together.abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_inference_steps": 51}, r"num_inference_steps is 51; lcm makes at most 50, and is meant for 4 to 8"),
        (
            {"timestep_spacing": "trailing"},
            "timestep_spacing is 'trailing' .*; lcm has its own steps, which end at zero",
        ),
    ],
)
def test_settings_that_lcm_does_not_have_are_refused(tiny_model, settings, message):
    with pytest.raises(InputError, match=message):
        Renderer(tiny_model, RenderSettings(scheduler="lcm", **settings))
