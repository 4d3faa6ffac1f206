import copy

import pytest
import torch

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.render import Renderer, resolve_settings
from ncm_lib.engine.settings import render_hash
from ncm_lib.engine.speed import Speed

PLAN = NoiseCutMix(classes=ClassList.of(["bag", "coat"]), latent_height=8, latent_width=8, latent_cell=2, seed=4)
SETTINGS = RenderSettings(num_inference_steps=2, height=16, width=16)


def rendered(model):
    renderer = Renderer(model, SETTINGS)
    latents = renderer.latents([PLAN.plan_one(k) for k in range(2)])
    with torch.inference_mode():
        return latents, model.family.decode(latents)


@pytest.fixture(scope="module")
def plain_of(family_folder):
    results = {}

    def plain(family):
        if family not in results:
            results[family] = rendered(load_model(family_folder(family), device="cpu"))
        return results[family]

    return plain


@pytest.mark.parametrize(
    ("family", "speed"),
    [
        ("sd2", Speed(channels_last=True)),
        ("sdxl", Speed(channels_last=True, slice_decoding=True)),
        ("sd2", Speed(attention="math")),
        ("sd35", Speed(attention="math", slice_decoding=True)),
        ("flux-schnell", Speed(attention="flash")),
        pytest.param("flux-schnell", Speed(compile="aot_eager"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_images_are_the_same_within_rounding(family_folder, plain_of, family, speed):
    model = load_model(family_folder(family), device="cpu", speed=speed)
    for ours, expected in zip(rendered(model), plain_of(family), strict=True):
        assert (ours - expected).abs().max() / expected.abs().max() <= 1e-5


def test_the_options_do_what_they_say(family_folder, monkeypatch):
    model = load_model(
        family_folder("sd2"), device="cpu", speed=Speed(channels_last=True, slice_decoding=True, attention="math")
    )
    family = model.family
    assert family.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert family.vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert family.vae.use_slicing
    seen = []
    stock = torch.nn.functional.scaled_dot_product_attention

    def watched(*args, **kwargs):
        seen.append((torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()))
        return stock(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    latents = torch.zeros(1, 4, 8, 8)
    with torch.inference_mode():
        rows = torch.stack(family.encode(["a bag"]))
        del seen[:]
        family.predict(latents, torch.tensor(5), rows)
        assert set(seen) == {(False, True)}
        # a copy of the module goes on with it, and its failure leaves nothing behind
        with pytest.raises(RuntimeError):
            copy.deepcopy(family.unet)(latents[:, :3], torch.tensor(5), rows)
    assert torch.backends.cuda.flash_sdp_enabled()


def test_an_attention_that_the_device_lacks_names_those_it_has(family_folder):
    with pytest.raises(InputError, match=r"'cudnn' does not run on cpu in float32; there are: auto, flash, math\."):
        load_model(family_folder("sd2"), device="cpu", speed=Speed(attention="cudnn"))


def test_what_is_on_is_told_in_words():
    assert str(Speed()) == "plain"
    assert str(Speed(compile=True, attention="flash")) == "compile, attention flash"


def test_a_data_set_records_what_was_on_and_does_not_go_on_with_something_else(family_folder):
    plain, fast = (
        resolve_settings(SETTINGS, load_model(family_folder("sd2"), device="cpu", speed=speed))
        for speed in (None, Speed(channels_last=True))
    )
    assert (plain.speed, fast.speed) == ("plain", "channels_last")
    hashes = [render_hash(settings, fingerprint="f", batch_shape=8, versions={}) for settings in (plain, fast)]
    assert hashes[0] != hashes[1]
