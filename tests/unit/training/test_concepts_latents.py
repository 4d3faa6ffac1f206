"""Images on their way to latents: crop, mirror, encode."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib import ConceptTraining
from ncm_lib.training.concepts_latents import LatentSource, cropped
from ncm_lib.training.concepts_sampler import ConceptSampler


def source(tiny_model, pictures, **options):
    config = ConceptTraining(**options)
    vae, device = tiny_model.family.vae, tiny_model.device
    return LatentSource(images=pictures, vae=vae, device=device, resolution=16, config=config)


def draws(pictures, stop=8, **changes):
    return replace(ConceptSampler(images=pictures, sampling="shuffled", seed=0).draw(0, stop), **changes)


def test_a_latent_is_a_scaled_sample_of_the_posterior_of_the_centre(tiny_model, pictures):
    # seed after seed the mean over samples comes closer to the posterior's mean
    many = draws(pictures, 400, rows=np.zeros(400, dtype=np.int64), flips=np.zeros(400, dtype=bool))
    got = source(tiny_model, pictures).latents(many)
    image = pictures.read(0)
    side, left, top = min(image.size), (image.width - min(image.size)) / 2, (image.height - min(image.size)) / 2
    box = (left, top, left + side, top + side)
    square = image.resize((16, 16), Image.Resampling.BICUBIC, box=box)
    pixels = torch.from_numpy(np.array(square)).float().permute(2, 0, 1)[None] / 255
    vae = tiny_model.family.vae
    with torch.no_grad():
        posterior = vae.encode(pixels * 2 - 1).latent_dist
    mean, spread = posterior.mean[0] * vae.config.scaling_factor, posterior.std[0] * vae.config.scaling_factor
    assert ((got.mean(0) - mean).abs() < 5 * spread / 20).all()
    assert ((got.std(0) / spread - 1).abs() < 0.25).all()


def test_a_flip_mirrors_the_image_before_it_is_encoded(tiny_model, pictures):
    one = draws(pictures, 1, rows=np.array([2]), flips=np.array([True]))
    flipped = source(tiny_model, pictures).latents(one)
    plain = source(tiny_model, pictures, flip=False).latents(one)
    straight = source(tiny_model, pictures).latents(replace(one, flips=np.array([False])))
    assert torch.equal(plain, straight)
    assert not torch.equal(flipped, plain)


def test_a_row_has_the_same_bits_whatever_stands_beside_it(tiny_model, pictures):
    whole = source(tiny_model, pictures).latents(draws(pictures))
    one_by_one = source(tiny_model, pictures)
    for place in range(8):
        sampler = ConceptSampler(images=pictures, sampling="shuffled", seed=0)
        assert torch.equal(one_by_one.latents(sampler.draw(place, place + 1))[0], whole[place])


@pytest.mark.parametrize("crop", [(0.0, 0.0, 0.0), (1 - 2**-53,) * 3, (0.0, 1 - 2**-53, 1 - 2**-53)])
def test_crops_at_the_edges_stay_inside_the_image(tiny_model, pictures, crop):
    for scale in (1e-9, 0.3, 1.0):
        drawn = draws(pictures, 10, rows=np.arange(10), crops=np.tile(crop, (10, 1)))
        latents = source(tiny_model, pictures, crop="random", crop_scale=scale).latents(drawn)
        assert latents.isfinite().all()


def test_a_crop_is_the_square_that_was_asked_for():
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[5:15, 12:22] = 200
    square = np.asarray(cropped(Image.fromarray(pixels), 10, (12.0, 5.0, 10.0)))
    assert (square == 200).all()
    assert (np.asarray(cropped(Image.fromarray(pixels), 10, (0.0, 0.0, 5.0))) == 0).all()
