"""Inversion of families that predict velocity, or have two text encoders."""

import copy
import dataclasses

import pytest
import torch
from PIL import Image

from ncm_lib import InputError, load_model, load_source
from ncm_lib.engine.conditioning import stack
from ncm_lib.engine.inversion import invert_latents, reconstruct_latents
from ncm_lib.engine.invert import invert
from ncm_lib.maths.inversion import ddim_step

LATENTS = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(4))


def conditioning(family, prompt="a photo of a bag"):
    with torch.inference_mode():
        return stack([*family.encode([prompt])] * len(LATENTS))


def noise_of(family, prediction, x, level):
    """The noise that a prediction means for x at alpha_bar = level."""
    if family.scheduler.config.prediction_type == "epsilon":
        return prediction
    # v = sqrt(a) e - sqrt(1 - a) x0, so e = sqrt(a) v + sqrt(1 - a) x
    return level.sqrt() * prediction + (1 - level).sqrt() * x


@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_inversion_is_the_ddim_map_along_rising_timesteps(family_folder, name):
    family = load_model(family_folder(name), device="cpu").family
    assert family.scheduler.config.prediction_type == {"sd2": "v_prediction", "sdxl": "epsilon"}[name]
    levels, rows = family.scheduler.alphas_cumprod, conditioning(family)
    expected, source = LATENTS, levels[0]
    with torch.inference_mode():
        for timestep in (249, 499, 749, 999):
            predicted = family.predict(expected, torch.tensor(timestep), rows)
            expected = ddim_step(expected, noise_of(family, predicted, expected, source), source, levels[timestep])
            source = levels[timestep]
    ours = invert_latents(family, LATENTS, rows, num_inference_steps=4)
    assert (ours - expected).abs().max() / expected.abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_the_round_trip_comes_back_the_better_the_more_steps(family_folder, name):
    family = load_model(family_folder(name), device="cpu").family
    # a random model's answers change too wildly from step to step; small ones are smooth
    unet = copy.deepcopy(family.unet)
    unet.conv_out.weight.mul_(0.05)
    unet.conv_out.bias.mul_(0.05)
    gentle, errors = dataclasses.replace(family, unet=unet), []
    rows = conditioning(gentle)
    for steps in (3, 9, 27):
        inverted = invert_latents(gentle, LATENTS, rows, num_inference_steps=steps)
        again = reconstruct_latents(gentle, inverted, rows, num_inference_steps=steps)
        errors.append(float((again - LATENTS).norm() / LATENTS.norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_a_pool_is_inverted_with_sdxl(family_folder, tmp_path):
    for name in ("bag", "coat"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.effect_noise((16, 16), 60).convert("RGB").save(tmp_path / "photos" / name / "one.png")
    model = load_model(family_folder("sdxl"), device="cpu")
    done = invert(model, load_source(tmp_path / "photos"), out=tmp_path / "pool", num_inference_steps=2)
    assert done.made == 2
    assert done.psnr_autoencoder is not None


@pytest.mark.parametrize("name", ["sd35", "flux-dev"])
def test_flow_models_are_refused_by_name_before_anything_is_written(family_folder, tmp_path, name):
    (tmp_path / "photos" / "bag").mkdir(parents=True)
    Image.effect_noise((16, 16), 60).convert("RGB").save(tmp_path / "photos" / "bag" / "one.png")
    model = load_model(family_folder(name), device="cpu")
    with pytest.raises(
        InputError, match=r"FlowMatchEulerDiscreteScheduler. Flow models \(SD 3, FLUX\) are not inverted"
    ):
        invert(model, load_source(tmp_path / "photos"), out=tmp_path / "pool", num_inference_steps=2)
    assert not (tmp_path / "pool").exists()
