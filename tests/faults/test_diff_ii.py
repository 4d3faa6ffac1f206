"""Diff-II on what should not be in a pool and sometimes is, and at the ends of its two stages."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ncm_lib import ClassList, DiffII, InputError, InversionPool, RenderSettings, load_source
from ncm_lib.engine.invert import invert
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.starts import start_latents
from ncm_lib.maths.rng import sample_noise
from ncm_lib.sources.pool import PoolHead, class_file

SHAPE = (4, 8, 8)
A = sample_noise(1, SHAPE)
LATENTS = {
    "well apart": sample_noise(2, SHAPE),
    "identical": A.clone(),
    "opposite": -A,
    "near-parallel": A * (1 + 1e-6) + 1e-7,
    "longer": 7 * A,
    "zero": torch.zeros(SHAPE),
    "tiny": sample_noise(3, SHAPE) * 1e-30,
    "huge": sample_noise(4, SHAPE) * 1e4,
}


def write_pool(folder, model, tensors):
    """A pool of one class, written by hand."""
    folder.mkdir(exist_ok=True)
    head = PoolHead(
        classes=("robin",), prompt="{class}", model_fingerprint=model.fingerprint, num_inference_steps=2,
        timestep_spacing="trailing", height=16, width=16, dtype="float32",
    )  # fmt: skip
    (folder / "pool.json").write_text(head.model_dump_json())
    save_file({name * 32: tensor for name, tensor in tensors.items()}, folder / class_file(0))
    return InversionPool(folder)


def method_of(pool, **options):
    return DiffII(classes=pool.classes, pool=pool.listing, prompt="{class}", seed=5, **options)


@pytest.mark.parametrize("case", LATENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("arc", ["circle", "interpolation", "extrapolation"])
def test_any_two_inversions_give_a_finite_start_of_the_firsts_norm(tiny_model, tmp_path, case, dtype, arc):
    pool = write_pool(tmp_path / "pool", tiny_model, {"aa": A.to(dtype), "bb": LATENTS[case].to(dtype)})
    for sample in method_of(pool, arc=arc).plan(0, 6):
        start = start_latents(sample, SHAPE, pool.latent)
        assert start.dtype == torch.float32
        assert torch.isfinite(start).all()
        norm = float(pool.latent(sample.start.source_a).double().norm())
        if norm:
            assert float(start.double().norm()) == pytest.approx(norm, rel=1e-5)
        else:
            # a zero inversion becomes the noise of the sample's seed, whose norm is about the root of its size
            assert float(start.norm()) == pytest.approx(math.sqrt(start.numel()), rel=0.2)
        assert torch.equal(start, start_latents(sample, SHAPE, pool.latent))


def test_a_pool_of_odd_inversions_makes_images_of_all_its_samples(tiny_model, tmp_path):
    tensors = {f"{number:02x}": tensor for number, tensor in enumerate(LATENTS.values())}
    pool = write_pool(tmp_path / "pool", tiny_model, tensors)
    samples = list(method_of(pool).plan(0, 40))
    renderer = Renderer(
        tiny_model, RenderSettings(num_inference_steps=1), default_scheduler="ddim", inversion=pool.latent
    )
    assert all(image is not None for image in renderer.images(renderer.latents(samples)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_inversion_that_is_not_finite_is_refused_by_its_image(tiny_model, tmp_path, value):
    bad = A.clone()
    bad[0, 0, 0] = value
    pool = write_pool(tmp_path / "pool", tiny_model, {"aa": A, "bb": bad})
    with pytest.raises(InputError, match=r"The inversion b{16}\.\.\. in .*pool has NaN or infinite values"):
        start_latents(method_of(pool).plan_one(0), SHAPE, pool.latent)


def test_an_inversion_of_another_size_is_refused_with_both_shapes(tiny_model, tmp_path):
    pool = write_pool(tmp_path / "pool", tiny_model, {"aa": torch.ones(4, 8, 10), "bb": torch.ones(4, 8, 10)})
    with pytest.raises(InputError, match=r"\[4, 8, 10\] and this run's latents have \[4, 8, 8\]"):
        start_latents(method_of(pool).plan_one(0), SHAPE, pool.latent)


def images_of(model, pool, steps, **options):
    settings = RenderSettings(num_inference_steps=steps, guidance_scale=3.0)
    renderer = Renderer(model, settings, default_scheduler="ddim", inversion=pool.latent)
    return renderer.latents(list(method_of(pool).model_copy(update=options).plan(0, 4)))


@pytest.mark.parametrize(("fraction", "steps"), [(0.0, 4), (0.24, 4), (0.99, 1)])
def test_a_first_stage_of_no_step_is_none(tiny_model, tmp_path, fraction, steps):
    pool = write_pool(tmp_path / "pool", tiny_model, {"aa": A, "bb": LATENTS["well apart"]})
    plain = images_of(tiny_model, pool, steps)
    assert torch.equal(images_of(tiny_model, pool, steps, suffixes=("in snow",), suffix_fraction=fraction), plain)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_first_stage_of_all_steps_is_the_suffixed_prompt(tiny_model, tmp_path, steps):
    pool = write_pool(tmp_path / "pool", tiny_model, {"aa": A, "bb": LATENTS["well apart"]})
    suffixed = images_of(tiny_model, pool, steps, suffixes=("in snow",), suffix_fraction=1.0)
    assert torch.equal(suffixed, images_of(tiny_model, pool, steps, classes=ClassList.of(["robin in snow"])))
    assert not torch.equal(suffixed, images_of(tiny_model, pool, steps))
    halves = images_of(tiny_model, pool, 4, suffixes=("in snow",), suffix_fraction=0.5)
    assert not torch.equal(suffixed, halves)


class TestInverting:
    @pytest.fixture
    def images(self, tmp_path):
        for number in range(3):
            file = tmp_path / "photos" / "robin" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
        return load_source(tmp_path / "photos")

    def test_an_inversion_that_breaks_down_is_refused_by_its_image_and_not_kept(self, tiny_model, images, tmp_path):
        broken = images.hashes_of(0)[1]
        half = tiny_model.family

        class Overflowing(type(half.unet)):
            """As half precision does with some images: one row of a batch is no number."""

            def forward(self, sample, *arguments, **options):
                (prediction,) = super().forward(sample, *arguments, **options)
                prediction[1:2] *= math.nan
                return (prediction,)

        unet = Overflowing.from_config(half.unet.config)
        unet.load_state_dict(half.unet.state_dict())
        model = dataclasses.replace(tiny_model, family=dataclasses.replace(half, unet=unet.eval()))
        with pytest.raises(InputError, match=rf"{broken[:16]}.*gave NaN or infinite values.*--dtype fp32"):
            invert(model, images, out=tmp_path / "pool", num_inference_steps=2)
        there = {name for file in (tmp_path / "pool").glob("*.safetensors") for name in load_file(file)}
        assert broken not in there
        # with a model that can, the same folder is finished
        assert invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=2).made == 3

    def test_the_round_trip_of_every_image_is_kept_beside_its_ceiling(self, tiny_model, images, tmp_path):
        done = invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=2)
        metrics = InversionPool(tmp_path / "pool").metrics()
        assert sorted(metrics) == sorted(images.hashes_of(0))
        assert all(math.isfinite(value) for entry in metrics.values() for value in entry.values())
        assert done.psnr == pytest.approx(np.median([entry["psnr"] for entry in metrics.values()]))
