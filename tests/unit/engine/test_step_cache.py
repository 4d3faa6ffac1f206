"""Caches on transformers: steps that are left out, and nothing that outlives its run."""

import json
import weakref

import diffusers
import pytest
import torch
from diffusers.hooks import PyramidAttentionBroadcastConfig, TaylorSeerCacheConfig
from pydantic import ValidationError

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, Speed, generate, load_model
from ncm_lib.engine.conditioning import stack
from ncm_lib.engine.denoise import EarlyConditions, denoise
from ncm_lib.engine.families.flux import pack, unpack
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.schedulers import make_scheduler

CLASSES = ClassList.of(["bag", "coat", "dress"])
PLAN = NoiseCutMix(classes=CLASSES, latent_height=8, latent_width=8, latent_cell=2, seed=4)
STEPS = 8
CACHES = ("taylor", "taylor-blocks", "broadcast")
# steps that are computed in full, of 8, with one in three and the first three
FULL = {"taylor": [0, 1, 2, 4, 7], "taylor-blocks": [0, 1, 2, 4, 7], "broadcast": [0, 1, 2, 3, 6]}


@pytest.fixture(scope="module")
def model_of(family_folder):
    """A family's model with a cache, once each."""
    models = {}

    def made(family, cache="off", interval=3):
        key = (family, cache, interval)
        if key not in models:
            speed = Speed(cache=cache, cache_interval=interval)
            models[key] = load_model(family_folder(family), device="cpu", speed=speed)
        return models[key]

    return made


def rendered(model, indices=(0, 1), *, steps=STEPS, on_step=None, **settings):
    settings = RenderSettings(num_inference_steps=steps, height=16, width=16, **settings)
    return Renderer(model, settings).latents([PLAN.plan_one(index) for index in indices], on_step)


def full_steps(model, **settings):
    """The steps in which the first block's attention is computed."""
    now, full = [0], []
    query = model.family.transformer.transformer_blocks[0].attn.to_q
    hook = query.register_forward_hook(lambda *_: full.append(now[0]))
    try:
        rendered(model, on_step=lambda step: now.__setitem__(0, step), **settings)
    finally:
        hook.remove()
    return full


FAMILIES = [(family, cache) for family in ("sd35", "flux-dev") for cache in CACHES]


@pytest.mark.parametrize(("family", "cache"), FAMILIES)
def test_most_steps_are_left_out_and_the_first_three_are_not(model_of, family, cache):
    model, plain = model_of(family, cache), model_of(family)
    assert full_steps(model) == FULL[cache]
    assert torch.equal(rendered(model, steps=3), rendered(plain, steps=3))
    approximate, whole = rendered(model), rendered(plain)
    assert torch.isfinite(approximate).all()
    assert 0 < (approximate - whole).abs().max() < 0.2 * whole.abs().max()


@pytest.mark.parametrize("cache", CACHES)
def test_a_larger_interval_leaves_more_out(model_of, cache):
    counts = [len(full_steps(model_of("flux-dev", cache, interval), steps=12)) for interval in (2, 3, 5)]
    assert counts == sorted(set(counts), reverse=True)


@pytest.mark.parametrize(("family", "cache"), FAMILIES)
def test_an_image_depends_neither_on_the_batch_before_nor_on_its_neighbours(model_of, family, cache):
    model = model_of(family, cache)
    first = rendered(model)
    rendered(model, (2, 3, 4))
    assert torch.equal(rendered(model), first)

    def interrupt(step):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rendered(model, (5, 6), on_step=interrupt)
    assert torch.equal(rendered(model), first)
    assert torch.equal(rendered(model, (0, 7))[0], first[0])


@pytest.mark.parametrize("cache", CACHES)
def test_a_run_that_has_ended_holds_no_memory(model_of, cache):
    model, kept = model_of("flux-dev", cache), []
    transformer = model.family.transformer
    hook = transformer.single_transformer_blocks[0].attn.register_forward_hook(
        lambda _module, _args, output: kept.append(weakref.ref(output))
    )
    last = transformer.proj_out.register_forward_hook(lambda _module, _args, output: kept.append(weakref.ref(output)))
    rendered(model)
    hook.remove()
    last.remove()
    assert len(kept) > STEPS
    assert not [reference for reference in kept if reference() is not None]


@pytest.mark.parametrize("cache", CACHES)
def test_nothing_is_kept_when_rows_come_or_go(model_of, cache):
    # two steps with a row of the negative prompt, then six without: the six are a run of their own
    assert full_steps(model_of("sd35", cache), guidance_interval=(0.0, 0.25)) == [
        0, 1, *(2 + step for step in FULL[cache] if step < 6),
    ]  # fmt: skip


@pytest.mark.parametrize("cache", CACHES)
def test_the_second_prompt_of_two_has_nothing_of_the_first(model_of, cache):
    family = model_of("flux-dev", cache).family
    with torch.inference_mode():
        bag, coat = (stack(family.encode([text])) for text in ("a photo of a bag", "a photo of a coat"))
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = [torch.ones(1, 1, 8, 8)]

    def latents(steps_of_the_first, later):
        return denoise(
            family, make_scheduler(family.scheduler, "euler"), noise, [later], mask,
            early=EarlyConditions(conditions=[bag], steps=[steps_of_the_first]), unconditional=None,
            guidance_scale=3.5, num_inference_steps=STEPS, generators=[torch.Generator()],
        )  # fmt: skip

    changed = latents(4, coat)
    hidden = []
    query = family.transformer.transformer_blocks[0].attn.to_q
    hook = query.register_forward_hook(lambda *_: hidden.append(1))
    assert torch.equal(latents(4, coat), changed)
    hook.remove()
    # four steps of each: three in full, and of the fourth what the cache says
    assert len(hidden) == 2 * len([step for step in FULL[cache] if step < 4])
    assert not torch.equal(latents(4, bag), changed)


@pytest.mark.parametrize("family", ["flux-dev", "flux-schnell"])
@pytest.mark.parametrize("cache", ["taylor", "broadcast"])
def test_latents_equal_those_of_the_stock_pipeline_with_its_cache(model_of, family_folder, family, cache):
    cached = model_of(family, cache).family
    pipeline = diffusers.FluxPipeline.from_pretrained(family_folder(family))
    pipeline.set_progress_bar_config(disable=True)
    calls = []
    pipeline.transformer.register_forward_hook(lambda *_: calls.append(1))
    pipeline.transformer.enable_cache(
        TaylorSeerCacheConfig(cache_interval=3, disable_cache_before_step=3, taylor_factors_dtype=torch.float32)
        if cache == "taylor"
        else PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=3, spatial_attention_timestep_skip_range=(2, 1000),
            current_timestep_callback=lambda: len(calls),
        )
    )  # fmt: skip
    noise = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    prompts = ["a photo of a bag", "a photo of a coat"]
    expected = pipeline(
        prompt=prompts, latents=pack(noise), height=16, width=16, guidance_scale=3.5, num_inference_steps=STEPS,
        output_type="latent", max_sequence_length=512 if family == "flux-dev" else 256,
    ).images  # fmt: skip
    with torch.inference_mode():
        conditions = [stack(cached.encode(prompts))]
    ours = denoise(
        cached, make_scheduler(cached.scheduler, "euler"), noise, conditions, [torch.ones(2, 1, 8, 8)],
        unconditional=None, guidance_scale=3.5, num_inference_steps=STEPS, generators=[torch.Generator()] * 2,
    )  # fmt: skip
    expected = unpack(expected, 8, 8)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_a_unet_is_refused_in_one_line(family_folder, family):
    with pytest.raises(InputError, match=r"cache is 'taylor'; .* denoiser is a UNet: leave it out \(SD 3, SD 3\.5 and"):
        load_model(family_folder(family), device="cpu", speed=Speed(cache="taylor"))


def test_a_cache_and_the_compiler_are_refused_together():
    with pytest.raises(ValidationError, match="compile is on and cache is 'taylor'; the compiler would start anew"):
        Speed(cache="taylor", compile=True)


def test_a_data_set_records_its_cache_and_what_is_missing_comes_back_the_same(model_of, tmp_path):
    settings = RenderSettings(num_inference_steps=STEPS, height=16, width=16)
    method, out = NoiseCutMix(classes=CLASSES), tmp_path / "set"

    def make(model):
        return generate(method, model, out=out, count=5, batch_size=2, settings=settings)

    make(model_of("flux-dev", "taylor"))
    assert json.loads((out / "dataset.json").read_text())["render"]["speed"] == "cache taylor, cache_interval 3"
    images = {file: file.read_bytes() for file in (out / "images").rglob("*.png")}
    for number in (1, 2, 4):
        (out / "images" / "000" / f"{number:08}.png").unlink()
    assert make(model_of("flux-dev", "taylor")).made == 3
    assert {file: file.read_bytes() for file in (out / "images").rglob("*.png")} == images
    with pytest.raises(InputError, match="speed"):
        make(model_of("flux-dev", "taylor", 2))
    with pytest.raises(InputError, match="speed"):
        make(model_of("flux-dev"))
