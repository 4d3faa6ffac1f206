"""Every family against its stock pipeline: `[A.., B..]` in one call, its scheduler's step wrapped to mix the halves."""

import dataclasses

import diffusers
import pytest
import torch

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.conditioning import stack
from ncm_lib.engine.denoise import EarlyConditions, denoise
from ncm_lib.engine.families.flux import pack, unpack
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.schedulers import make_scheduler
from ncm_lib.maths.masks import sample_cutmix_masks

from ..tiny_families import FAMILIES

STEPS = 3
HEIGHT, WIDTH = 16, 24
PROMPTS = ["a photo of a sneaker", "a photo of a bag", "a photo of a coat", "a photo of a dress", "a photo of a shirt"]
UNETS = ("sd1", "sd2", "sdxl")
# steps of each sample's first stage
SPLITS = [0, 1, 2, 3, 2]
STOCK = {
    "sd1": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "sd2": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "sdxl": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "sd35": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "flux-dev": ("FluxPipeline", "FluxImg2ImgPipeline"),
    "flux-schnell": ("FluxPipeline", "FluxImg2ImgPipeline"),
}
# What the stock pipelines are told, written down here and not asked of our adapters.
GUIDANCE = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0, "sd35": 7.0, "flux-dev": 3.5, "flux-schnell": 0.0}
LONG = {"flux-dev": 512, "flux-schnell": 256, "sd35": 256}
STOCK_SCHEDULERS = {
    "ddim": ("DDIMScheduler", {"timestep_spacing": "trailing", "set_alpha_to_one": False, "clip_sample": False}),
    "dpmsolver++": (
        "DPMSolverMultistepScheduler", {"timestep_spacing": "linspace", "final_sigmas_type": "zero"}
    ),
    "euler": (None, {}),
    "flow dpmsolver++": (
        "DPMSolverMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def model_of(family_folder):
    models = {}

    def loaded(family):
        if family not in models:
            models[family] = load_model(family_folder(family), device="cpu")
        return models[family]

    return loaded


class Case:
    """Five samples with masks of their own, on a grid that is not square."""

    def __init__(self, family, model):
        self.family, self.count = model.family, len(PROMPTS)
        self.height, self.width = HEIGHT // 2, WIDTH // 2
        shape = (self.count, model.family.latent_channels, self.height, self.width)
        self.seeds = [30 + k for k in range(self.count)]
        # one generator per sample, as the stock image-to-image pipelines draw
        rows = [torch.randn((1, *shape[1:]), generator=torch.Generator().manual_seed(seed)) for seed in self.seeds]
        self.noise = torch.cat(rows)
        self.images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        self.mask = sample_cutmix_masks(self.count, self.height, self.width, seed=11).mask
        assert len({tuple(mask.flatten().tolist()) for mask in self.mask}) == self.count


def stock_latents(family, case, scheduler="auto", *, guidance=None, strength=None, early=False):
    """Latents of the stock pipeline, both halves stepped with the mixed prediction."""
    own = case.family.scheduler
    name, settings = STOCK_SCHEDULERS.get(scheduler, (None, {}))
    kind = getattr(diffusers, name) if name else type(own)
    instance = kind.from_config({**own.config, "steps_offset": 1, **settings} if name else own.config)
    packs = "flux" in family
    mask = case.mask.expand_as(case.noise)
    mask = pack(mask) if packs else mask
    step = instance.step

    def mixing_step(prediction, timestep, sample, **kwargs):
        of_a, of_b = prediction.chunk(2)
        return step(torch.cat([mask * of_a + (1 - mask) * of_b] * 2), timestep, sample, **kwargs)

    instance.step = mixing_step
    pipeline = stock_pipeline(family, case.family, instance, image=strength is not None)
    prompts = [*PROMPTS, *PROMPTS[::-1]]
    options = {
        "guidance_scale": GUIDANCE[family] if guidance is None else guidance,
        "num_inference_steps": STEPS, "output_type": "latent",
    }  # fmt: skip
    options |= {"max_sequence_length": LONG[family]} if family in LONG else {}
    if strength is None:
        start = pack(case.noise) if packs else case.noise
        options |= {"height": HEIGHT, "width": WIDTH, "latents": start.repeat(2, *[1] * (start.ndim - 1))}
    else:
        sized = {} if family in UNETS else {"height": HEIGHT, "width": WIDTH}
        generators = [torch.Generator().manual_seed(seed) for seed in case.seeds * 2]
        options |= {"image": case.images.repeat(2, 1, 1, 1), "strength": strength, "generator": generators} | sized
    if early:
        first, rows = early_inputs(pipeline, options), [*SPLITS, *SPLITS]
        with Stages(pipeline, first, rows, unconditional=2 * case.count * ("flux" not in family)):
            result = pipeline(prompt=prompts, **options).images
    else:
        result = pipeline(prompt=prompts, **options).images
    one, other = result.chunk(2)
    assert torch.equal(one, other)
    return unpack(one, case.height, case.width) if packs else one


def stock_pipeline(family, adapter, scheduler, *, image):
    names = ("unet", "transformer", "vae", *(f"{part}{n}" for part in ("tokenizer", "text_encoder")
                                             for n in ("", "_2", "_3")))  # fmt: skip
    parts = {name: getattr(adapter, name) for name in names if hasattr(adapter, name)}
    if family in ("sd1", "sd2"):
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = getattr(diffusers, STOCK[family][image])(**parts, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def early_prompts():
    return [f"{prompt} over snow" for prompt in [*PROMPTS, *PROMPTS[::-1]]]


def text_inputs(kwargs):
    """Where a denoiser's inputs come from the prompt: (the dict that has it, its key)."""
    places = [(kwargs, "encoder_hidden_states"), (kwargs, "pooled_projections")]
    return [*places, (kwargs.get("added_cond_kwargs") or {}, "text_embeds")]


def denoiser_of(pipeline):
    return getattr(pipeline, "unet", None) or pipeline.transformer


def early_inputs(pipeline, options):
    """What the denoiser is given for the early prompts, recorded from a run of the stock pipeline."""
    seen = []

    def record(module, args, kwargs):
        seen.append([place[key].clone() if key in place else None for place, key in text_inputs(kwargs)])

    handle = denoiser_of(pipeline).register_forward_pre_hook(record, with_kwargs=True)
    pipeline(prompt=early_prompts(), **options)
    handle.remove()
    # the run has drawn from the generators
    for generator in options.get("generator", []):
        generator.manual_seed(generator.initial_seed())
    return seen[0]


class Stages:
    """In the first steps of each row, put the early prompts' inputs in the place of the later ones."""

    def __init__(self, pipeline, first, splits, *, unconditional):
        self.pipeline, self.first, self.call = pipeline, first, 0
        self.splits = [0] * unconditional + splits

    def __enter__(self):
        self.handle = denoiser_of(self.pipeline).register_forward_pre_hook(self.swap, with_kwargs=True)

    def __exit__(self, *_):
        self.handle.remove()

    def swap(self, module, args, kwargs):
        for (place, key), early in zip(text_inputs(kwargs), self.first, strict=True):
            if key in place:
                place[key] = place[key].clone()
                for row, split in enumerate(self.splits):
                    if self.call < split:
                        place[key][row] = early[row]
        self.call += 1
        return args, kwargs


def our_latents(case, scheduler="auto", *, guidance=None, strength=None, early=False):
    family = case.family
    scale = family.default_guidance if guidance is None else guidance
    guided = family.guidance == "classifier-free" and scale != 1
    own = make_scheduler(family.scheduler, "euler" if scheduler == "auto" else scheduler.removeprefix("flow "))

    def conditions(prompts):
        with torch.inference_mode():
            rows = family.encode(prompts)
        return [stack(rows[: case.count]), stack(rows[case.count :])]

    with torch.inference_mode():
        negative = stack([family.encode_negative("")] * case.count)
    remaining = STEPS if strength is None else int(strength * STEPS)
    return denoise(
        family.with_guidance(scale),
        own,
        case.noise,
        conditions([*PROMPTS, *PROMPTS[::-1]]),
        [case.mask, 1 - case.mask],
        early=EarlyConditions(conditions=conditions(early_prompts()), steps=SPLITS) if early else None,
        unconditional=negative if guided else None,
        guidance_scale=scale,
        num_inference_steps=STEPS,
        generators=[torch.Generator() for _ in range(case.count)],
        images=None if strength is None else case.images,
        first_step=STEPS - remaining,
    )


def difference(ours, expected):
    """The largest, in units of the largest latent."""
    assert torch.isfinite(expected).all()
    return float((ours - expected).abs().max() / expected.abs().max())


SCHEDULERS = [
    ("sd1", "ddim"), ("sd2", "ddim"), ("sd2", "dpmsolver++"), ("sdxl", "ddim"), ("sdxl", "dpmsolver++"),
    ("sd35", "auto"), ("sd35", "flow dpmsolver++"), ("flux-dev", "auto"), ("flux-schnell", "auto"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "scheduler"), SCHEDULERS)
def test_latents_equal_those_of_the_stock_pipeline(model_of, family, scheduler):
    case = Case(family, model_of(family))
    assert difference(our_latents(case, scheduler), stock_latents(family, case, scheduler)) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_two_stage_latents_equal_those_of_the_stock_pipeline(model_of, family):
    case = Case(family, model_of(family))
    scheduler = "ddim" if family in UNETS else "auto"
    ours = our_latents(case, scheduler, early=True)
    assert difference(ours, stock_latents(family, case, scheduler, early=True)) <= 1e-5
    one_stage = our_latents(case, scheduler)
    changed = [difference(ours[k], one_stage[k]) > 1e-4 for k in range(case.count)]
    assert changed == [split > 0 for split in SPLITS]


@pytest.mark.parametrize(("family", "scheduler"), [pair for pair in SCHEDULERS if "flow" not in pair[1]])
def test_image_to_image_latents_equal_those_of_the_stock_pipeline(model_of, family, scheduler):
    case = Case(family, model_of(family))
    # stock flow pipelines round .7 of 3 steps up to 3, the others and ours down to 2
    strength = 0.7 if family in UNETS else 2 / 3
    ours = our_latents(case, scheduler, strength=strength)
    assert difference(ours, stock_latents(family, case, scheduler, strength=strength)) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_oracle_can_fail_when_the_mask_is_another(model_of, family):
    case = Case(family, model_of(family))
    scheduler = "ddim" if family in UNETS else "auto"
    expected = stock_latents(family, case, scheduler)
    case.mask = 1 - case.mask
    assert difference(our_latents(case, scheduler), expected) > 1e-3


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_guidance_of_other_scales_equals_the_stock_pipelines(model_of, guidance):
    for family in ("sdxl", "sd35", "flux-dev"):
        case = Case(family, model_of(family))
        scheduler = "ddim" if family == "sdxl" else "auto"
        ours = our_latents(case, scheduler, guidance=guidance)
        assert difference(ours, stock_latents(family, case, scheduler, guidance=guidance)) <= 1e-5


def test_flux_packs_as_diffusers_does_and_mixing_commutes_with_it():
    noise = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 3, 16, 6, 10, generator=noise)
    mask = torch.rand(3, 1, 6, 10, generator=noise)
    assert torch.equal(pack(one), diffusers.FluxPipeline._pack_latents(one, 3, 16, 6, 10))
    assert torch.equal(unpack(pack(one), 6, 10), one)
    packed_mask = pack(mask.expand_as(one))
    packed_mix = packed_mask * pack(one) + (1 - packed_mask) * pack(other)
    assert torch.equal(packed_mix, pack(mask * one + (1 - mask) * other))


@pytest.mark.parametrize("family", FAMILIES)
def test_images_decode_and_encode_as_the_stock_pipeline_does(model_of, family):
    case, adapter = Case(family, model_of(family)), model_of(family).family
    latents = case.noise[:1]
    pipeline = stock_pipeline(family, adapter, adapter.scheduler, image=True)
    with torch.inference_mode():
        images = adapter.decode(latents)
        config = adapter.vae.config
        expected = adapter.vae.decode(latents / config.scaling_factor + (config.shift_factor or 0)).sample
        assert torch.equal(images, pipeline.image_processor.postprocess(expected, output_type="pt"))
        pixels = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
        posterior = adapter.vae.encode(pipeline.image_processor.preprocess(pixels)).latent_dist
        mean = (posterior.mean - (config.shift_factor or 0)) * config.scaling_factor
        assert torch.allclose(adapter.encode_images(pixels), mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("family", "rows"), [("sdxl", 3), ("sd35", 3), ("flux-dev", 2), ("flux-schnell", 2)])
def test_a_plan_renders_with_one_call_per_step_and_no_needless_row(model_of, family, rows, monkeypatch):
    model, calls = model_of(family), []
    kind = type(model.family)
    stock = kind.predict

    def counting(self, latents, timestep, conditioning):
        calls.append(len(latents))
        return stock(self, latents, timestep, conditioning)

    monkeypatch.setattr(kind, "predict", counting)
    renderer = Renderer(model, RenderSettings(num_inference_steps=2, height=HEIGHT, width=WIDTH))
    assert renderer.latent_size == (HEIGHT // 2, WIDTH // 2)
    plan = NoiseCutMix(classes=ClassList.of(["bag", "coat", "dress"]), latent_height=8, latent_width=12, latent_cell=2)
    images = renderer.images(renderer.latents([plan.plan_one(k) for k in range(2)]))
    assert calls == [rows * 2] * 2
    assert [image.shape for image in images] == [(HEIGHT, WIDTH, 3)] * 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["sd2", "sdxl", "sd35", "flux-dev"])
def test_half_precision_renders_roughly_the_same_picture(model_of, family_folder, family, dtype):
    half = load_model(family_folder(family), device="cpu", dtype=dtype)
    plan = NoiseCutMix(classes=ClassList.of(["bag", "coat"]), latent_height=8, latent_width=12, latent_cell=2)
    settings = RenderSettings(num_inference_steps=2, height=HEIGHT, width=WIDTH)
    ours, full = (Renderer(model, settings).latents([plan.plan_one(0)]) for model in (half, model_of(family)))
    assert 0 < difference(ours, full) < 0.1
    pixels = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert difference(half.family.decode(full), model_of(family).family.decode(full)) < 0.1
        assert difference(half.family.encode_images(pixels), model_of(family).family.encode_images(pixels)) < 0.1
    # SDXL's autoencoder overflows in float16
    assert half.family.vae.dtype == (torch.float32 if (family, dtype) == ("sdxl", "float16") else half.dtype)


def test_settings_that_a_family_does_not_have_are_refused(model_of):
    dev, schnell, sd35 = (model_of(family) for family in ("flux-dev", "flux-schnell", "sd35"))
    for model, settings, message in (
        (dev, {"height": 18}, "The image height is 18; this model makes multiples of 4: take 16 or 20"),
        (dev, {"negative_prompt": "dark"}, "negative_prompt is 'dark'; this model's guidance is distilled"),
        (schnell, {"guidance_scale": 3.5}, "guidance_scale is 3.5; this model is distilled to run without guidance"),
        (sd35, {"scheduler": "ddim"}, "'ddim' is not known; legal: euler, dpmsolver"),
        (sd35, {"scheduler": "DDIMScheduler"}, "does not fit this model's noise schedule .FlowMatchEuler"),
        (dev, {"scheduler": "dpmsolver++"}, "is not known; legal: euler, or a class: FlowMatchEuler"),
        (sd35, {"timestep_spacing": "trailing"}, "timestep_spacing is 'trailing'.*a flow model has its own steps"),
        (sd35, {"final_sigma": "sigma_min"}, "final_sigma is 'sigma_min'; a flow model has its own steps"),
    ):
        with pytest.raises(InputError, match=message):
            Renderer(model, RenderSettings(**{"height": HEIGHT, "width": WIDTH} | settings))


def test_sd3_without_t5_equals_the_stock_pipeline_without_it(model_of, family_folder):
    adapter = dataclasses.replace(model_of("sd35").family, text_encoder_3=None, tokenizer_3=None)
    case = Case("sd35", dataclasses.replace(model_of("sd35"), family=adapter))
    assert difference(our_latents(case), stock_latents("sd35", case)) <= 1e-5


def test_sdxl_without_zeros_for_the_empty_prompt_encodes_it(model_of):
    adapter = model_of("sdxl").family
    with torch.inference_mode():
        zeros = adapter.encode_negative("")
        told = adapter.encode_negative("a photo")
        encoded = dataclasses.replace(adapter, zero_negative=False).encode_negative("")
        empty = adapter.encode([""])[0]
    assert all(not tensor.any() for tensor in zeros.values())
    assert all(torch.equal(encoded[name], empty[name]) for name in empty)
    assert all(tensor.any() for tensor in told.values())


def test_long_prompts_are_read_by_t5_where_there_is_one(model_of):
    long = "a photo of a " + "coat " * 40 + "dress"
    with torch.inference_mode():
        for family in ("sd35", "flux-dev", "flux-schnell"):
            one, other = model_of(family).family.encode([long, long.replace("dress", "shirt")])
            assert not torch.equal(one["tokens"], other["tokens"])
        for family in ("sd2", "sdxl"):
            with pytest.raises(InputError, match="tokens and the text encoder reads 32"):
                model_of(family).family.encode([long])
        with pytest.raises(InputError, match="tokens and the text encoder reads 256"):
            model_of("sd35").family.encode(["coat " * 300])
