"""Starts from real images: how many steps are left out, and what is encoded."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib import ClassList, InputError, RealGuidance, RenderSettings, SDRandom
from ncm_lib.engine.fitted import fitted
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.starts import check_image_starts, start_step
from ncm_lib.plan.pool import PoolListing
from ncm_lib.plan.sample import Noise, NoisedImage

CLASSES = ClassList.of(["sneaker", "bag"])
LISTING = PoolListing(images=(("a", "b"), ("c",)))
PICTURES = {
    name: Image.new("RGB", (24, 16), colour) for name, colour in zip("abc", ("red", "tan", "navy"), strict=True)
}


def image(strength):
    return NoisedImage(source="a", strength=strength)


def plan(**fields):
    return RealGuidance(classes=CLASSES, images=LISTING, **fields).plan(0, 4)


@pytest.mark.parametrize(
    ("strength", "steps", "left_out"),
    [(1.0, 25, 0), (0.7, 25, 8), (0.5, 25, 13), (0.25, 25, 19), (0.29, 100, 71), (0.04, 25, 24), (0.1, 10, 9)],
)
def test_the_last_strength_times_n_steps_are_run(strength, steps, left_out):
    assert start_step(image(strength), steps) == left_out


def test_a_start_from_noise_leaves_nothing_out():
    assert start_step(Noise(), 25) is None


def test_a_strength_that_leaves_no_step_is_refused_before_anything_is_made():
    says = r"strength 0\.25 leaves none of 3 steps.*at least 4 steps, or a strength of at least 0\.333"
    with pytest.raises(InputError, match=says):
        check_image_starts(plan(strengths=(0.9, 0.25)), 3, given=True)
    check_image_starts(plan(strengths=(0.9, 0.25)), 4, given=True)


def test_a_plan_from_real_images_needs_them():
    with pytest.raises(InputError, match=r"starts from real images, and none came.*images="):
        check_image_starts(plan(), 4, given=False)
    check_image_starts(SDRandom(classes=CLASSES).plan(0, 1), 4, given=False)


def test_an_image_is_scaled_and_cut_to_its_centre():
    picture = Image.new("RGB", (40, 10), "black")
    picture.paste("white", (10, 0, 30, 10))
    pixels = fitted(picture, (20, 20))
    assert pixels.shape == (3, 20, 20)
    assert pixels.min() > 0.9


def test_the_source_of_each_row_is_encoded_as_the_mean_of_its_posterior(tiny_model):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=2), real_image=PICTURES.__getitem__)
    samples = [dataclasses.replace(plan()[0], start=NoisedImage(source=name, strength=1.0)) for name in "aca"]
    latents = renderer.source_latents(samples)
    alone = [renderer.source_latents([sample])[0] for sample in samples]
    assert torch.allclose(latents, torch.stack(alone), atol=1e-5)
    assert not torch.allclose(latents[0], latents[1], atol=1e-2)


def test_little_strength_stays_close_to_the_image_and_full_strength_does_not(tiny_model):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=50), real_image=PICTURES.__getitem__)

    def distance(strength):
        samples = [dataclasses.replace(sample, start=image(strength)) for sample in plan()]
        return float((renderer.latents(samples) - renderer.source_latents(samples)).abs().mean())

    assert distance(0.02) < 0.2 * distance(1.0)


def test_steps_that_are_left_out_are_not_computed(tiny_model, monkeypatch):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=10), real_image=PICTURES.__getitem__)
    calls, told = [], []
    kind = type(tiny_model.family)
    stock = kind.predict
    monkeypatch.setattr(kind, "predict", lambda self, *args: calls.append(1) or stock(self, *args))
    renderer.latents([dataclasses.replace(plan()[0], start=image(0.3))], told.append)
    assert (len(calls), told) == (3, [8, 9, 10])


def test_equal_noise_and_source_give_equal_bytes_in_any_slot(tiny_model):
    renderer = Renderer(tiny_model, RenderSettings(num_inference_steps=4), real_image=PICTURES.__getitem__)
    rows = list(plan())
    first = renderer.images(renderer.latents(rows))
    moved = renderer.images(renderer.latents([rows[3], rows[0], rows[0], rows[1]]))
    assert np.array_equal(first[0], moved[2])
    assert np.array_equal(first[3], moved[0])
