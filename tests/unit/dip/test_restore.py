"""Restoring images: what each task does, what fixes the result, and what is refused."""

import math

import pytest
import torch

from ncm_lib.dip import DipConfig, InputConfig, SkipConfig, StoppingConfig, UNetConfig, psnr, restore
from ncm_lib.dip.tasks import shrink
from ncm_lib.errors import InputError


def spoilt(picture, sigma=0.1):
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    return (picture + sigma * noise).clamp(0, 1)


def longer(config: DipConfig, iterations: int, **changes) -> DipConfig:
    return config.model_copy(update={"iterations": iterations, "network": SkipConfig(widths=(8, 12)), **changes})


class TestTasks:
    def test_denoising_comes_nearer_to_the_clean_image_than_what_was_given(self, picture, quick):
        noisy = spoilt(picture)
        restored = restore(noisy, "denoise", config=longer(quick, 250), clean=picture)
        assert psnr(restored.image, picture) > psnr(noisy, picture) + 2
        assert restored.image.shape == picture.shape

    def test_inpainting_paints_unknown_pixels_and_keeps_the_known_ones(self, picture, quick):
        mask = (torch.rand(24, 20, generator=torch.Generator().manual_seed(2)) < 0.4).float()
        holes = torch.where(mask.bool(), math.nan, picture)
        restored = restore(holes, "inpaint", mask=mask, config=longer(quick, 250))
        known = (mask == 0).expand_as(picture)
        assert restored.image[known].equal(picture[known])
        mean = picture[known].mean().expand_as(picture[~known])
        assert psnr(restored.image[~known][None, None], picture[~known][None, None]) > 5 + psnr(
            mean[None, None], picture[~known][None, None]
        )

    def test_what_stands_under_the_mask_changes_nothing(self, picture, quick):
        mask = torch.zeros(24, 20)
        mask[5:12, 5:12] = 1
        for kind in ("gaussian", "ddpm"):
            config = quick.model_copy(update={"input": InputConfig(kind=kind)})
            images = [
                restore(torch.where(mask.bool(), value, picture), "inpaint", mask=mask, config=config).image
                for value in (math.nan, 0.0, 1.0, 7.0)
            ]
            assert all(image.equal(images[0]) for image in images)

    def test_a_soft_mask_weighs_pixels(self, picture, quick):
        soft = torch.full((24, 20), 0.5)
        restored = restore(picture, "inpaint", mask=soft, config=quick.model_copy(update={"keep_known": False}))
        whole = restore(
            picture, "inpaint", mask=torch.zeros(24, 20), config=quick.model_copy(update={"keep_known": False})
        )
        # one weight for all pixels is as good as another
        assert restored.history[0].loss == pytest.approx(whole.history[0].loss, rel=1e-5)

    @pytest.mark.parametrize("factor", [2, 4])
    def test_super_resolution_enlarges_to_an_image_that_shrinks_to_what_was_given(self, factor, quick):
        y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
        large = (0.5 + 0.4 * torch.sin(x / 7 + y / 5)).expand(1, 32, 40)
        small = shrink(large[None], (32 // factor, 40 // factor))[0].clamp(0, 1)
        restored = restore(small, "super-resolve", factor=factor, config=longer(quick, 250), clean=large)
        assert restored.image.shape == large.shape
        again = shrink(restored.image[None], (32 // factor, 40 // factor))[0]
        assert psnr(again, small) > 30
        assert restored.history[0].quality[-1].psnr > 20

    def test_reconstruction_runs_all_iterations_and_comes_near(self, picture, quick):
        restored = restore(
            picture, "reconstruct", config=longer(quick, 250, stopping=StoppingConfig(window=2, patience=1))
        )
        assert restored.stopped_at == (250,)
        assert restored.history[0].variance == ()
        assert psnr(restored.image, picture) > 25


class TestWhatFixesTheResult:
    def test_the_seed(self, picture, quick):
        one, same, other = (restore(picture, "denoise", config=quick, seed=seed) for seed in (3, 3, 4))
        assert one.image.equal(same.image)
        assert one.history[0].loss == same.history[0].loss
        assert not one.image.equal(other.image)

    @pytest.mark.parametrize("kind", ["gaussian", "fresh", "ddpm"])
    def test_not_the_other_images_of_the_batch(self, kind, picture, quick):
        config = quick.model_copy(update={"input": InputConfig(kind=kind)})
        batch = torch.stack([picture, picture.flip(1), spoilt(picture)])
        together = restore(batch, "denoise", config=config, seed=[5, 6, 7])
        for k, seed in enumerate((5, 6, 7)):
            alone = restore(batch[k], "denoise", config=config, seed=[seed])
            assert together.image[k].equal(alone.image), f"image {k} differs"
            assert together.history[k].loss == alone.history[0].loss

    def test_not_the_clean_image(self, picture, quick):
        noisy = spoilt(picture)
        blind, seeing = (restore(noisy, "denoise", config=quick, clean=clean) for clean in (None, picture))
        assert blind.image.equal(seeing.image)
        assert blind.history[0].quality == ()

    def test_not_what_was_drawn_from_torch_before(self, picture, quick):
        torch.manual_seed(1)
        one = restore(picture, "denoise", config=quick)
        torch.manual_seed(2)
        assert restore(picture, "denoise", config=quick).image.equal(one.image)

    @pytest.mark.parametrize(
        "changes",
        [{"loss": "l1"}, {"learning_rate": 0.02}, {"average": 0.5}, {"network": UNetConfig(widths=(4, 6))},
         {"input": InputConfig(kind="ddpm")}, {"input": InputConfig(kind="ddpm", eta="fixed", t=9)}],
    )  # fmt: skip
    def test_every_part_of_the_config(self, changes, picture, quick):
        changed = restore(picture, "denoise", config=quick.model_copy(update=changes))
        assert not changed.image.equal(restore(picture, "denoise", config=quick).image)


class TestStopping:
    def test_the_result_is_from_the_lowest_variance_and_running_on_does_not_change_it(self, picture, quick):
        stop, on = (
            quick.model_copy(update={"iterations": 80, "stopping": StoppingConfig(window=3, patience=4, run_on=run_on)})
            for run_on in (False, True)
        )
        stopped, ran_on = (restore(spoilt(picture), "denoise", config=config) for config in (stop, on))
        (history,), (longer_history,) = stopped.history, ran_on.history
        assert len(history.loss) < len(longer_history.loss) == 80
        place = stopped.stopped_at[0]
        assert history.variance[place - 1] == min(history.variance[2:])
        assert len(history.loss) == place + 4
        assert ran_on.stopped_at == stopped.stopped_at
        assert ran_on.image.equal(stopped.image)

    def test_without_it_the_result_is_the_last_average(self, picture, quick):
        config = quick.model_copy(update={"stopping": None})
        restored = restore(picture, "denoise", config=config, clean=picture, measure_every=1)
        assert restored.stopped_at == (12,)
        assert psnr(restored.image, picture) == pytest.approx(restored.history[0].quality[-1].psnr)

    def test_quality_is_measured_as_often_as_asked_and_at_the_end(self, picture, quick):
        (history,) = restore(picture, "denoise", config=quick, clean=picture, measure_every=5).history
        assert [quality.iteration for quality in history.quality] == [5, 10, 12]
        (history,) = restore(picture[:, :9, :9], "denoise", config=quick, clean=picture[:, :9, :9]).history
        assert math.isnan(history.quality[-1].ssim)


def test_every_iteration_is_shown_and_what_the_callback_raises_ends_the_run(picture, quick):
    seen = []

    def watch(step):
        seen.append((step.index, step.count, step.iteration, step.iterations, step.picture().shape))
        if len(seen) == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(torch.stack([picture, picture]), "denoise", config=quick, on_step=watch)
    shape = picture.shape
    assert seen == [(0, 2, k, 12, shape) for k in range(1, 13)] + [(1, 2, k, 12, shape) for k in range(1, 4)]


def test_it_trains_in_inference_mode_too(picture, quick):
    with torch.inference_mode():
        inside = restore(picture.clone(), "inpaint", mask=torch.eye(24, 20), config=quick)
    outside = restore(picture, "inpaint", mask=torch.eye(24, 20), config=quick)
    assert inside.image.equal(outside.image)
    assert not inside.image.is_inference()


def test_the_given_tensors_stay_as_they_are(picture, quick):
    image, mask = picture.clone(), torch.eye(24, 20)
    restore(image, "inpaint", mask=mask, config=quick)
    assert image.equal(picture)
    assert mask.equal(torch.eye(24, 20))


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"dtype": "float64"}, {"channels_last": False}])
def test_other_arithmetic_gives_nearly_the_same(options, picture, quick):
    config = quick.model_copy(update={"iterations": 3})
    plain, other = (restore(picture, "denoise", config=config, **given) for given in ({}, options))
    assert other.image.dtype == torch.float32
    assert float((plain.image - other.image).abs().max()) < (0.1 if "dtype" in options else 1e-3)


def test_a_learning_rate_that_is_far_too_high_is_survived_or_named(picture, quick):
    config = quick.model_copy(update={"learning_rate": 1.0, "iterations": 120})
    assert bool(restore(picture, "denoise", config=config).image.isfinite().all())


@pytest.mark.usefixtures("as_in_production")
class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"task": "sharpen"}, "The task is 'sharpen'; legal is denoise, inpaint, super-resolve, reconstruct."),
            ({"task": "inpaint"}, "inpaint needs a mask, 1 where a pixel is unknown; give one, or take denoise."),
            ({"mask": torch.zeros(16, 16)}, "A mask came for the task denoise, which uses none"),
            ({"task": "super-resolve", "factor": 3}, "The factor is 3; super-resolution enlarges by 2 or 4."),
            ({"image": torch.rand(4, 16, 16)}, r"shape \[4, 16, 16\]; legal is .* Leave an alpha channel out"),
            ({"image": torch.rand(16, 16)}, r"shape \[16, 16\]; legal is \[C, H, W\] or \[N, C, H, W\]"),
            ({"image": torch.rand(3, 7, 16)}, r"shape \[3, 7, 16\]; at least one of 8 x 8 pixels is needed"),
            ({"image": torch.rand(0, 3, 16, 16)}, "at least one of 8 x 8 pixels is needed"),
            ({"image": torch.rand(3, 16, 16) * 255}, "must be from 0 to 1, without NaN. Divide 8-bit images by 255"),
            ({"image": torch.full((3, 16, 16), math.nan)}, "The image has values from nan to nan"),
            ({"task": "inpaint", "mask": torch.full((16, 16), math.nan)}, r"NaN or values outside \[0, 1\]"),
            ({"task": "inpaint", "mask": torch.full((16, 16), 2.0)}, r"NaN or values outside \[0, 1\]"),
            ({"task": "inpaint", "mask": torch.ones(16, 16)}, "covers the whole image, so nothing is known"),
            ({"task": "inpaint", "mask": torch.zeros(16, 15)}, r"mask has the shape \[16, 15\] and the images have"),
            ({"task": "inpaint", "mask": torch.zeros(2, 16, 16)}, "one plane for all images or one for each"),
            ({"clean": torch.rand(3, 16, 15)}, r"clean image has the shape \[3, 16, 15\]; the result will have"),
            ({"task": "super-resolve", "clean": torch.rand(3, 16, 16)}, r"the result will have \[1, 3, 64, 64\]"),
            ({"measure_every": 0}, "measure_every is 0; it must be at least 1"),
            ({"seed": [1, 2]}, "2 seeds came for 1 rows"),
            ({"seed": -1}, "The seed is -1"),
        ],
    )  # fmt: skip
    def test_each_has_one_line(self, change, message, quick):
        given = {"image": torch.rand(3, 16, 16), "task": "denoise", "config": quick, **change}
        with pytest.raises(InputError, match=message) as refused:
            restore(given.pop("image"), given.pop("task"), **given)
        assert "\n" not in str(refused.value)

    def test_one_masked_image_of_a_batch_is_enough(self, quick):
        masks = torch.stack([torch.zeros(16, 16), torch.ones(16, 16)])
        with pytest.raises(InputError, match="covers the whole image"):
            restore(torch.rand(2, 1, 16, 16), "inpaint", mask=masks, config=quick)


def test_the_enlargement_that_ddpm_is_fed_with_stays_in_range():
    from ncm_lib.dip.tasks import SuperResolve

    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    start = SuperResolve(step, 4).start
    # bicubic interpolation alone overshoots at a step
    assert (float(start.min()), float(start.max())) == (0, 1)


def test_what_is_smaller_than_a_pixel_is_averaged_when_an_image_is_reduced():
    stripes = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(4).expand(1, 1, 16, 16)
    inside = shrink(stripes, (4, 4))[..., 1:-1]
    # the wide kernel of antialiasing sees every fourth column; a narrow one would miss it
    assert float((inside - 0.25).abs().max()) < 0.1
