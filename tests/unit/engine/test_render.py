import numpy as np
import pytest
import torch

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings
from ncm_lib.engine.render import Renderer, _step_generator, resolve_settings
from ncm_lib.engine.settings import render_hash

SETTINGS = RenderSettings(num_inference_steps=3, guidance_scale=5.0)
CLASSES = ClassList.of(["sneaker", "bag", "coat", "dress"])


@pytest.fixture(scope="module")
def renderer(tiny_model):
    return Renderer(tiny_model, SETTINGS)


@pytest.fixture(scope="module")
def plan():
    return NoiseCutMix(classes=CLASSES, latent_height=8, latent_width=8, latent_cell=2, seed=4).plan(0, 12)


def test_a_sample_has_the_same_bytes_in_any_slot_with_any_neighbours(renderer, plan):
    """At a fixed batch shape."""
    first = renderer.images(renderer.latents([plan[row] for row in (0, 1, 2, 3)]))
    moved = renderer.images(renderer.latents([plan[row] for row in (7, 3, 0, 9)]))
    assert np.array_equal(first[0], moved[2])
    assert np.array_equal(first[3], moved[1])
    padded = renderer.images(renderer.latents([plan[0]] * 4))
    assert np.array_equal(first[0], padded[0])
    assert not np.array_equal(first[0], first[1])


def test_a_prompt_is_encoded_once_over_the_renderers_life(tiny_model, plan, monkeypatch):
    renderer = Renderer(tiny_model, SETTINGS)
    encoded = []
    kind = type(tiny_model.family)
    stock = kind.encode
    monkeypatch.setattr(kind, "encode", lambda self, prompts: encoded.extend(prompts) or stock(self, prompts))
    renderer.latents([plan[row] for row in range(4)])
    renderer.latents([plan[row] for row in range(4, 12)])
    assert len(encoded) == len(set(encoded))
    assert set(encoded) == {f"a photo of a {name}" for name in CLASSES.names} | {""}


@pytest.mark.parametrize(("guidance_scale", "rows"), [(1.0, 2), (3.0, 3)])
def test_one_model_call_per_step_serves_all_branches(tiny_model, plan, monkeypatch, guidance_scale, rows):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=3, guidance_scale=guidance_scale))
    calls = []
    kind = type(tiny_model.family)
    stock = kind.predict

    def counting(self, latents, timestep, conditioning):
        calls.append(len(latents))
        return stock(self, latents, timestep, conditioning)

    monkeypatch.setattr(kind, "predict", counting)
    renderer.latents([plan[row] for row in range(4)])
    assert calls == [rows * 4] * 3


def test_the_label_is_the_mean_of_the_mask_the_denoiser_saw(tiny_model, monkeypatch):
    seen = []
    import ncm_lib.engine.render as module

    stock = module.denoise
    monkeypatch.setattr(module, "denoise", lambda *args, **kwargs: seen.append(args[4]) or stock(*args, **kwargs))
    for grid in ("latent", "pixel"):
        table = NoiseCutMix(classes=CLASSES, latent_height=8, latent_width=8, latent_cell=2, grid=grid, seed=9).plan(
            0, 6
        )
        Renderer(tiny_model, SETTINGS).latents(list(table))
        means = torch.stack([plane.double().mean(dim=(1, 2, 3)) for plane in seen.pop()], dim=1)
        assert np.allclose(means.numpy(), table.weights, atol=1e-6)


def test_an_image_of_nan_is_none_and_its_neighbours_are_kept(renderer, plan):
    latents = renderer.latents([plan[0], plan[1], plan[2]]).clone()
    latents[1] = float("nan")
    kept = renderer.images(latents)
    assert kept[1] is None
    assert kept[0].dtype == np.uint8
    assert kept[0].shape == (16, 16, 3)


def test_an_image_of_one_colour_is_none(renderer, monkeypatch):
    kind = type(renderer.model.family)
    monkeypatch.setattr(kind, "decode", lambda self, latents: torch.full((len(latents), 3, 16, 16), 0.5))
    assert renderer.images(torch.zeros(2, 4, 8, 8)) == [None, None]


def test_a_prompt_that_the_text_encoder_would_cut_is_refused(renderer):
    with pytest.raises(InputError, match=r"tokens and the text encoder reads 32"):
        renderer.learn_prompts(["a photo of a " + "very " * 40 + "long coat"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_renders_the_same_picture_roughly(tiny_folder, tiny_model, plan, dtype):
    from ncm_lib import load_model

    samples = [plan[0], plan[1]]
    half = Renderer(load_model(tiny_folder, device="cpu", dtype=str(dtype).removeprefix("torch.")), SETTINGS)
    full = Renderer(tiny_model, SETTINGS)
    difference = (half.latents(samples) - full.latents(samples)).abs().max()
    assert 0 < difference / full.latents(samples).abs().max() < 0.1


def test_a_stochastic_schedulers_noise_is_the_samples_own(tiny_model, plan):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=3, scheduler="euler-ancestral"))
    first = renderer.latents([plan[0], plan[1]])
    moved = renderer.latents([plan[5], plan[0]])
    assert torch.equal(first[0], moved[1])
    streams = {float(torch.randn(1, generator=_step_generator(seed))) for seed in (5, 5 + 2**32, 5 + 2**52, 6)}
    assert len(streams) == 4


def test_sizes_that_the_model_cannot_make_are_refused(tiny_model):
    with pytest.raises(InputError, match="The image height is 17; this model makes multiples of 2: take 16 or 18"):
        resolve_settings(RenderSettings(height=17), tiny_model)


def test_a_non_square_image_on_an_odd_grid_has_its_own_latent_grid(tiny_model):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=2, height=18, width=26))
    assert renderer.latent_size == (9, 13)
    method = NoiseCutMix(classes=CLASSES, latent_height=9, latent_width=13, latent_cell=2)
    (image,) = renderer.images(renderer.latents([method.plan_one(0)]))
    assert image.shape == (18, 26, 3)


def test_defaults_are_the_models_own_and_the_papers(tiny_model):
    settings = resolve_settings(RenderSettings(), tiny_model)
    assert (settings.guidance_scale, settings.num_inference_steps) == (7.5, 25)
    assert (settings.scheduler, settings.timestep_spacing, settings.final_sigma) == ("dpmsolver++", "linspace", "zero")
    assert (settings.height, settings.width) == (16, 16)
    assert resolve_settings(RenderSettings(scheduler="ddim"), tiny_model).timestep_spacing == "trailing"


def test_an_unknown_scheduler_names_those_that_fit(tiny_model):
    with pytest.raises(InputError, match="'ddimm' is not known; legal: dpmsolver"):
        Renderer(tiny_model, RenderSettings(scheduler="ddimm"))
    with pytest.raises(InputError, match="does not fit this model's noise schedule"):
        Renderer(tiny_model, RenderSettings(scheduler="FlowMatchEulerDiscreteScheduler"))


@pytest.mark.parametrize(
    "name", ["PNDMScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler", "LMSDiscreteScheduler"]
)
def test_any_fitting_diffusers_scheduler_runs_by_name(tiny_model, plan, name):
    settings = RenderSettings(num_inference_steps=4, scheduler=name)
    images = Renderer(tiny_model, settings)
    assert torch.isfinite(images.latents([plan[0]])).all()


def test_the_render_hash_tells_settings_model_shape_and_versions_apart(tiny_model):
    settings = resolve_settings(RenderSettings(), tiny_model)
    more_steps = resolve_settings(RenderSettings(num_inference_steps=26), tiny_model)
    base = {"fingerprint": "f", "batch_shape": 8, "versions": {"torch": "1"}}
    changes = [{}, {"fingerprint": "g"}, {"batch_shape": 4}, {"versions": {"torch": "2"}}]
    hashes = {render_hash(settings, **base | change) for change in changes} | {render_hash(more_steps, **base)}
    assert len(hashes) == 5
