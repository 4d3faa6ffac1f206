"""Guidance in a part of the steps only: less work, and another image."""

import pytest
import torch
from pydantic import ValidationError

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.render import Renderer, resolve_settings
from ncm_lib.engine.settings import render_hash

PLAN = NoiseCutMix(classes=ClassList.of(["bag", "coat"]), latent_height=8, latent_width=8, latent_cell=2, seed=4)


def rendered(model, *, scheduler="ddim", **settings):
    """Latents of two samples, and the UNet's rows in each call."""
    rows = []
    hook = model.family.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        renderer = Renderer(model, RenderSettings(num_inference_steps=5, scheduler=scheduler, **settings))
        return renderer.latents([PLAN.plan_one(k) for k in range(2)]), rows
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("interval", "rows"),
    [
        ((0.0, 1.0), [6] * 5),
        ((0.2, 0.8), [4, 6, 6, 6, 4]),
        ((0.0, 0.4), [6, 6, 4, 4, 4]),
        ((0.6, 1.0), [4, 4, 4, 6, 6]),
    ],
)
def test_only_the_steps_of_the_interval_have_a_row_of_the_negative_prompt(tiny_model, interval, rows):
    assert rendered(tiny_model, guidance_interval=interval)[1] == rows


def test_without_a_guided_step_the_images_are_those_without_guidance(tiny_model):
    bare, _ = rendered(tiny_model, guidance_scale=1.0)
    none, rows = rendered(tiny_model, guidance_interval=(0.0, 0.1))
    assert torch.equal(none, bare)
    assert rows == [4] * 5


def test_steps_before_the_interval_are_unguided_and_those_in_it_guided(tiny_model):
    whole, _ = rendered(tiny_model)
    late, _ = rendered(tiny_model, guidance_interval=(0.2, 1.0))
    bare, _ = rendered(tiny_model, guidance_scale=1.0)
    assert not torch.allclose(late, whole)
    assert not torch.allclose(late, bare)
    assert torch.equal(rendered(tiny_model, guidance_interval=(0.0, 1.0))[0], whole)


@pytest.mark.parametrize("interval", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1)])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValidationError, match=r"legal: two shares of the steps, 0 <= start < stop <= 1, such as"):
        RenderSettings(guidance_interval=interval)


def test_a_model_without_that_branch_is_named(family_folder):
    model = load_model(family_folder("flux-dev"), device="cpu")
    with pytest.raises(InputError, match="an unconditional branch, and this model has none: leave it out"):
        resolve_settings(RenderSettings(guidance_interval=(0.2, 0.8)), model)


def test_a_data_set_does_not_go_on_with_another_interval(tiny_model):
    hashes = {
        render_hash(
            resolve_settings(RenderSettings(guidance_interval=interval), tiny_model),
            fingerprint="f", batch_shape=8, versions={},
        )
        for interval in ((0.0, 1.0), (0.2, 0.8))
    }  # fmt: skip
    assert len(hashes) == 2
