import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib import ClassList, InputError, load_model, load_source
from ncm_lib.engine.denoise import EarlyConditions, denoise, early_steps
from ncm_lib.engine.inversion import inverse_scheduler, invert_latents, psnr, reconstruct_latents
from ncm_lib.engine.invert import invert
from ncm_lib.engine.schedulers import make_scheduler
from ncm_lib.engine.starts import start_latents
from ncm_lib.maths.interpolation import angle_between, circle_angle, circle_interpolate
from ncm_lib.maths.inversion import ddim_step
from ncm_lib.maths.rng import sample_noise
from ncm_lib.plan.sample import CirclePoint, ClassWeight, Condition, FullMask, Sample
from ncm_lib.sources.pool import InversionPool

from ...garments import GARMENTS


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(7):
        file = folder / ("robin" if number < 5 else "wren") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 20)).save(file)
    return load_source(folder)


@pytest.fixture(scope="module")
def latents(tiny_model):
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return tiny_model.family.encode_images(pixels)


def conditioning(model, count, prompt="a photo of a bag"):
    return torch.stack(model.family.encode([prompt]) * count)


def alpha_bars(model):
    return make_scheduler(model.family.scheduler, "ddim").alphas_cumprod


@torch.inference_mode()
def by_hand(model, x, embeddings, timesteps):
    """Rising timesteps s -> t from alpha_bar(0), the noise evaluated at the destination."""
    levels = alpha_bars(model)
    source = levels[0]
    for timestep in timesteps:
        noise = model.family.predict(x, torch.tensor(timestep), embeddings)
        x = ddim_step(x, noise, source, levels[timestep])
        source = levels[timestep]
    return x


@pytest.mark.parametrize(
    ("spacing", "steps", "timesteps"),
    [
        ("trailing", 4, [249, 499, 749, 999]),
        ("trailing", 10, list(range(99, 1000, 100))),
        ("leading", 4, [1, 251, 501, 751]),
    ],
)
def test_inversion_is_the_ddim_map_along_rising_timesteps(tiny_model, latents, spacing, steps, timesteps):
    embeddings = conditioning(tiny_model, 3)
    ours = invert_latents(tiny_model.family, latents, embeddings, num_inference_steps=steps, spacing=spacing)
    assert torch.allclose(ours, by_hand(tiny_model, latents, embeddings, timesteps), atol=1e-4)


def test_inverting_and_denoising_meet_at_the_same_timesteps(tiny_model):
    inverse = inverse_scheduler(tiny_model.family.scheduler, "trailing")
    forward = make_scheduler(tiny_model.family.scheduler, "ddim", spacing="trailing")
    for steps in (10, 25, 50, 100, 200):
        inverse.set_timesteps(steps)
        forward.set_timesteps(steps)
        assert inverse.timesteps.tolist() == forward.timesteps.tolist()[::-1]
        assert inverse.timesteps[-1] == 999


def test_the_round_trip_comes_back_the_better_the_more_steps():
    # a trained model: the noise that a random one predicts changes too wildly from step to step
    model = load_model(GARMENTS, device="cpu")
    embeddings = conditioning(model, 2, "a photo of a bag")
    noise = torch.stack([sample_noise(seed, (4, 16, 16)) for seed in range(2)])
    images = reconstruct_latents(model.family, noise, embeddings, num_inference_steps=10)
    errors = []
    for steps in (4, 10, 25):
        inverted = invert_latents(model.family, images, embeddings, num_inference_steps=steps)
        again = reconstruct_latents(model.family, inverted, embeddings, num_inference_steps=steps)
        errors.append(float((again - images).norm() / images.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2


@pytest.mark.parametrize("prediction", ["sample", "v_prediction_2"])
def test_a_model_of_another_prediction_type_is_refused(tiny_model, prediction):
    own = make_scheduler(tiny_model.family.scheduler, "ddim")
    own.register_to_config(prediction_type=prediction)
    with pytest.raises(InputError, match=f"predicts '{prediction}'; DDIM inversion is for models that predict noise"):
        inverse_scheduler(own, "trailing")


def test_a_flow_model_is_refused():
    from diffusers import FlowMatchEulerDiscreteScheduler

    with pytest.raises(InputError, match="discrete noise levels; this one's scheduler is FlowMatchEuler"):
        inverse_scheduler(FlowMatchEulerDiscreteScheduler(), "trailing")


def test_psnr_of_a_known_error():
    one = torch.zeros(2, 3, 4, 4)
    assert psnr(one, one + 0.1) == pytest.approx([20, 20], abs=1e-5)
    assert psnr(one, one) == [float("inf")] * 2


def test_a_pool_holds_every_image_by_content_with_its_measured_round_trip(tiny_model, images, tmp_path):
    seen = []
    done = invert(
        tiny_model, images, out=tmp_path / "pool", num_inference_steps=4, batch_size=2,
        on_progress=seen.append,
    )  # fmt: skip
    assert (done.made, done.skipped) == (7, 0)
    assert list(dict.fromkeys((progress.made, progress.done, progress.count) for progress in seen)) == [
        (made, made, 7) for made in (0, 2, 4, 5, 7)
    ]
    # 4 steps there and 4 back per batch, and its end
    fractions = [progress.fraction for progress in seen]
    assert fractions == pytest.approx(sorted(fractions))
    assert (len(fractions), fractions[0], fractions[-1]) == (4 * 9, pytest.approx(0.25 / 7), 1.0)
    pool = InversionPool(tmp_path / "pool")
    assert pool.classes == images.classes
    assert pool.listing.images == (images.hashes_of(0), images.hashes_of(1))
    metrics = pool.metrics()
    assert sorted(metrics) == sorted(images.hashes_of(0) + images.hashes_of(1))
    assert done.psnr == pytest.approx(np.median([entry["psnr"] for entry in metrics.values()]))
    assert done.psnr_autoencoder == pytest.approx(np.median([entry["psnr_autoencoder"] for entry in metrics.values()]))
    assert sorted(file.name for file in (tmp_path / "pool").iterdir()) == [
        "class-00000.safetensors", "class-00001.safetensors", "pool.json"
    ]  # fmt: skip


def test_an_inversion_does_not_depend_on_its_neighbours_but_for_rounding(tiny_model, images, tmp_path):
    for name, size in (("a", 2), ("b", 5)):
        invert(tiny_model, images, out=tmp_path / name, num_inference_steps=3, batch_size=size, measure=False)
    one, other = InversionPool(tmp_path / "a"), InversionPool(tmp_path / "b")
    for content in images.hashes_of(0):
        assert torch.allclose(one.latent(content), other.latent(content), atol=1e-4)


def test_a_run_that_was_cut_short_goes_on_and_gives_the_same_files(tiny_model, images, tmp_path):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.done == 4:
            raise Stop

    options = {"num_inference_steps": 3, "batch_size": 2}
    with pytest.raises(Stop):
        invert(tiny_model, images, out=tmp_path / "cut", **options, on_progress=stop)
    with pytest.raises(InputError, match="the inversion was cut short"):
        InversionPool(tmp_path / "cut")
    seen = []
    again = invert(tiny_model, images, out=tmp_path / "cut", **options, on_progress=seen.append)
    assert (again.made, again.skipped) == (3, 4)
    # what was there before is no work of this run
    assert (seen[0].done, seen[0].made, seen[0].fraction) == (4, 0, pytest.approx(1 / 6 / 3))
    invert(tiny_model, images, out=tmp_path / "whole", **options)
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "cut" / file.name).read_bytes(), file.name


def test_an_image_that_left_the_source_leaves_the_pool(tiny_model, images, tmp_path):
    invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=2)
    fewer = images.take([0, 1, 5])
    assert invert(tiny_model, fewer, out=tmp_path / "pool", num_inference_steps=2).made == 0
    assert InversionPool(tmp_path / "pool").listing.counts == (2, 1)


def test_another_pool_in_the_folder_is_refused_field_by_field(tiny_model, images, tmp_path):
    invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=2, measure=False)
    with pytest.raises(InputError, match=r"num_inference_steps: the pool has 2, this run has 3"):
        invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=3)


def test_a_model_that_is_not_inverted_is_refused_by_name_before_anything_is_written(tiny_model, images, tmp_path):
    from diffusers import FlowMatchEulerDiscreteScheduler

    family = dataclasses.replace(tiny_model.family, scheduler=FlowMatchEulerDiscreteScheduler())
    with pytest.raises(
        InputError, match=r"tiny-sd \(StableDiffusion1\) is not inverted\. .* Flow models \(SD 3, FLUX\)"
    ):
        invert(dataclasses.replace(tiny_model, family=family), images, out=tmp_path / "pool")
    own = make_scheduler(tiny_model.family.scheduler, "ddim")
    own.register_to_config(prediction_type="sample")
    family = dataclasses.replace(tiny_model.family, scheduler=own)
    with pytest.raises(InputError, match="predicts 'sample'"):
        invert(dataclasses.replace(tiny_model, family=family), images, out=tmp_path / "pool")
    with pytest.raises(InputError, match="the text encoder reads 32; the end would be cut off"):
        invert(tiny_model, images, out=tmp_path / "pool", prompt="a very " * 40 + "{class}")
    assert not (tmp_path / "pool").exists()


def test_a_folder_of_something_else_is_refused(tiny_model, images, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"neither empty nor a pool of inversions \(it holds notes.txt\)"):
        invert(tiny_model, images, out=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_damaged_pool_is_named_in_one_line(tiny_model, images, tmp_path):
    invert(tiny_model, images, out=tmp_path, num_inference_steps=2, measure=False)
    file = tmp_path / "class-00001.safetensors"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match=r"class-00001\.safetensors is damaged"):
        InversionPool(tmp_path)
    (tmp_path / "pool.json").write_text(json.dumps({"format": "ncm-pool-2"}))
    with pytest.raises(InputError, match="not a pool's head of format ncm-pool-1"):
        InversionPool(tmp_path)


def test_a_pool_goes_to_another_process_by_its_place(tiny_model, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invert(tiny_model, images, out="pool", num_inference_steps=2, measure=False)
    look_up = InversionPool("pool").latent
    there = pickle.dumps(look_up)
    monkeypatch.chdir("/")
    content = images.hashes_of(0)[0]
    assert torch.equal(pickle.loads(there)(content), look_up(content))  # noqa: S301


def sample(**start):
    return Sample(
        index=0, seed=11, conditions=(Condition(prompt="x"),), label=(ClassWeight(class_id=0, weight=1.0),),
        mask=FullMask(), start=CirclePoint(source_a="a", source_b="b", **start),
    )  # fmt: skip


INVERSIONS = {"a": sample_noise(1, (4, 8, 8)), "b": sample_noise(2, (4, 8, 8)) * 1.3}


@pytest.mark.parametrize("arc", ["circle", "interpolation", "extrapolation"])
@pytest.mark.parametrize("match_norm", [False, True])
def test_a_circle_start_is_the_circle_interpolation_of_the_two_inversions(arc, match_norm):
    ours = start_latents(sample(u=0.3, arc=arc, match_norm=match_norm), (4, 8, 8), INVERSIONS.__getitem__)
    a, b = INVERSIONS["a"][None], INVERSIONS["b"][None]
    expected = circle_interpolate(a, b, circle_angle(0.3, angle_between(a, b), arc), match_norm=match_norm)[0]
    assert torch.equal(ours, expected)


def test_a_circle_start_without_a_pool_or_of_another_size_is_refused():
    with pytest.raises(InputError, match="give the pool of inversions"):
        start_latents(sample(u=0.3, arc="circle"), (4, 8, 8), None)
    with pytest.raises(InputError, match=r"\[4, 8, 8\] and this run's latents have \[4, 16, 16\]"):
        start_latents(sample(u=0.3, arc="circle"), (4, 16, 16), INVERSIONS.__getitem__)


@pytest.mark.parametrize(
    ("fraction", "steps", "expected"),
    [
        (0, 25, 0),
        (0.1, 25, 2),
        (0.3, 25, 7),
        (0.5, 25, 12),
        (0.7, 25, 17),
        (1, 25, 25),
        (0.3, 10, 3),
        (0.5, 1, 0),
        (1, 1, 1),
    ],
)
def test_the_first_stage_has_floor_of_fraction_times_steps(fraction, steps, expected):
    assert early_steps(fraction, steps) == expected


def test_each_sample_of_a_batch_changes_its_prompt_at_its_own_step(tiny_model):
    family, steps = tiny_model.family, 6
    noise = torch.stack([sample_noise(seed, (4, 8, 8)) for seed in range(4)])
    late, early = conditioning(tiny_model, 4, "a photo of a bag"), conditioning(tiny_model, 4, "a photo of a coat")
    splits = [0, 2, 5, 6]

    def run(rows, conditions, first_stage):
        return denoise(
            family, make_scheduler(family.scheduler, "ddim"), noise[rows], [conditions[rows]],
            [torch.ones(len(rows), 1, 8, 8)], early=first_stage, unconditional=None, guidance_scale=1.0,
            num_inference_steps=steps, generators=[torch.Generator() for _ in rows],
        )  # fmt: skip

    together = run([0, 1, 2, 3], late, EarlyConditions(conditions=[early], steps=splits))
    for row, split in enumerate(splits):
        alone = run([row], late, EarlyConditions(conditions=[early[row : row + 1]], steps=[split]))
        assert torch.allclose(together[row], alone[0], atol=1e-4)
    assert torch.allclose(together[0], run([0], late, None)[0], atol=1e-4)
    assert torch.allclose(together[3], run([3], early, None)[0], atol=1e-4)
    assert not torch.allclose(together[1], run([1], late, None)[0], atol=1e-3)


def test_a_step_that_calls_the_model_twice_is_one_step_of_the_first_stage(tiny_model):
    late, early = conditioning(tiny_model, 1, "a photo of a bag"), conditioning(tiny_model, 1, "a photo of a coat")
    seen = []
    hook = tiny_model.family.unet.register_forward_pre_hook(lambda _, args: seen.append(torch.equal(args[2], early)))
    denoise(
        tiny_model.family, make_scheduler(tiny_model.family.scheduler, "HeunDiscreteScheduler"),
        torch.zeros(1, 4, 8, 8), [late], [torch.ones(1, 1, 8, 8)],
        early=EarlyConditions(conditions=[early], steps=[2]), unconditional=None, guidance_scale=1.0,
        num_inference_steps=5, generators=[torch.Generator()],
    )  # fmt: skip
    hook.remove()
    # two of five steps, of which the last calls it once
    assert seen == [True] * 4 + [False] * 5


def test_diff_ii_makes_a_data_set_that_resumes(tiny_model, images, tmp_path):
    from ncm_lib import DiffII, RenderSettings, SyntheticDataset, generate, verify

    invert(tiny_model, images, out=tmp_path / "pool", num_inference_steps=4, measure=False)
    pool = InversionPool(tmp_path / "pool")
    method = DiffII(classes=pool.classes, pool=pool.listing, expansion=1, suffixes=("in snow",), suffix_fraction=0.5)
    settings = RenderSettings(num_inference_steps=4, guidance_scale=2.0)
    for count in (3, method.size):
        generate(
            method,
            tiny_model,
            out=tmp_path / "set",
            count=count,
            settings=settings,
            batch_size=3,
            inversion=pool.latent,
        )
    generate(method, tiny_model, out=tmp_path / "once", count=7, settings=settings, batch_size=3, inversion=pool.latent)
    assert verify(tmp_path / "set").findings == ()
    for file in (tmp_path / "once").glob("images/*/*.png"):
        assert file.read_bytes() == (tmp_path / "set" / file.relative_to(tmp_path / "once")).read_bytes()
    head = json.loads((tmp_path / "set/dataset.json").read_text())
    assert (head["method"], head["render"]["scheduler"], head["render"]["timestep_spacing"]) == (
        "diff-ii",
        "ddim",
        "trailing",
    )
    records = [json.loads(line) for line in (tmp_path / "set/metadata.jsonl").read_text().splitlines()]
    assert {record["start"] for record in records} == {"circle"}
    for record in records:
        assert record["weights"] == [1.0]
        assert {record["source"], record["source_b"]} <= set(images.hashes_of(record["class_ids"][0]))
        assert 0 <= record["u"] < 1
    labels = np.stack([label.numpy() for _, label in SyntheticDataset(tmp_path / "set")])
    assert sorted(labels.argmax(axis=1).tolist()) == [0, 0, 0, 0, 0, 1, 1]


def test_a_class_list_of_another_pool_is_refused(images):
    from pydantic import ValidationError

    from ncm_lib import DiffII
    from ncm_lib.plan.pool import PoolListing

    listing = PoolListing(images=(images.hashes_of(0), images.hashes_of(1)))
    with pytest.raises(ValidationError, match="images of 2 classes and the class list has 3"):
        DiffII(classes=ClassList.of(["a", "b", "c"]), pool=listing)
