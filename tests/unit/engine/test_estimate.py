"""What a run is said to cost against what it costs."""

import copy
import dataclasses

import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ncm_lib import ClassList, DAFusion, InputError, NoiseCutMix, RenderSettings, Speed, generate, load_model
from ncm_lib.engine.estimate import _counted, count_flops, estimate
from ncm_lib.engine.generate import settled
from ncm_lib.engine.render import Renderer
from ncm_lib.plan.pool import PoolListing

CLASSES = ClassList.of(["sneaker", "bag", "coat"])


def cost_of(model, folder, *, count=4, save_masks=True, image_format="png", **settings):
    """The estimate of a small run."""
    render = RenderSettings(**{"num_inference_steps": 2} | settings)
    method, manifest = settled(
        NoiseCutMix(classes=CLASSES), Renderer(model, render), out=folder, count=count, seed=0, batch_size=None,
        image_format=image_format,
    )  # fmt: skip
    return estimate(method, manifest, model, render, save_masks=save_masks)


def test_operations_are_those_of_the_modules_with_attention_as_matrix_products(tiny_model):
    family, (height, width) = tiny_model.family, (8, 8)
    latent = torch.zeros(1, family.latent_channels, height, width)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as row:
            family.predict(latent, torch.tensor(500), torch.stack(family.encode(["x"])))
        with FlopCounterMode(display=False) as text:
            family.encode(["x"])
        with FlopCounterMode(display=False) as decode:
            family.decode(latent)
    expected = (row.get_total_flops() - text.get_total_flops(), decode.get_total_flops())
    assert count_flops(tiny_model, (height, width)) == expected


def test_operations_of_sd_15_are_the_documented_ones(tiny_model):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
            "vae": AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks),
            "text_encoder": CLIPTextModel(CLIPTextConfig(hidden_size=768, num_hidden_layers=1, **tokens)),
        }
    meta, tokenizer = torch.device("meta"), copy.deepcopy(tiny_model.family.tokenizer)
    tokenizer.model_max_length = 77
    family = dataclasses.replace(tiny_model.family, device=meta, tokenizer=tokenizer, **parts)
    row, decode = count_flops(dataclasses.replace(tiny_model, family=family, device=meta), (64, 64))
    assert row == pytest.approx(0.803e12, rel=1e-3)
    assert decode == pytest.approx(2.515e12, rel=1e-3)


def test_operations_of_other_families_are_those_of_their_published_configs(family_folder):
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel

    meta = torch.device("meta")
    tiny = {name: load_model(family_folder(name), device="cpu").family for name in ("flux-dev", "sd35", "sdxl")}
    with meta:
        flux = FluxTransformer2DModel(guidance_embeds=True)
        sd35 = SD3Transformer2DModel(
            sample_size=128, num_layers=38, num_attention_heads=38, caption_projection_dim=2432, qk_norm="rms_norm",
            joint_attention_dim=4096, pooled_projection_dim=2048, pos_embed_max_size=192,
        )  # fmt: skip
        sdxl = UNet2DConditionModel(
            sample_size=128, block_out_channels=(320, 640, 1280), transformer_layers_per_block=[1, 2, 10],
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=[5, 10, 20],
            cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip
        for name, denoiser, tokens, pooled, expected in (
            ("flux-dev", {"transformer": flux}, (512, 4096), 768, 74.4e12),
            ("sd35", {"transformer": sd35}, (333, 4096), 2048, 31.1e12),
            ("sdxl", {"unet": sdxl}, (77, 2048), 1280, 6.76e12),
        ):
            family = dataclasses.replace(tiny[name], device=meta, **denoiser)
            prompt = {"tokens": torch.empty(1, *tokens), "pooled": torch.empty(1, pooled)}
            latent = torch.empty(1, family.latent_channels, 128, 128)
            row = _counted(lambda: family.predict(latent, torch.tensor(500), prompt))  # noqa: B023
            assert row == pytest.approx(expected, rel=2e-3)


def test_an_image_costs_its_rows_in_every_step_and_one_decoding(tiny_model, tmp_path):
    cost = cost_of(tiny_model, tmp_path, num_inference_steps=25, guidance_scale=7.5)
    assert (cost.calls, cost.rows_per_call) == (25, 3)
    assert cost.flops == 75 * cost.row_flops + cost.decode_flops


def test_without_guidance_there_is_one_row_less(tiny_model, tmp_path):
    assert cost_of(tiny_model, tmp_path, guidance_scale=1.0).rows_per_call == 2


@pytest.mark.parametrize(("interval", "guided"), [((0.0, 1.0), 10), ((0.2, 0.8), 6), ((0.0, 0.4), 4), ((0.0, 0.05), 0)])
def test_steps_outside_of_the_guidance_interval_have_one_row_less(tiny_model, tmp_path, interval, guided):
    render = {"num_inference_steps": 10, "guidance_scale": 3.0, "guidance_interval": interval}
    rows, count = [], 2
    hook = tiny_model.family.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    generate(
        NoiseCutMix(classes=CLASSES), tiny_model, out=tmp_path / "run", count=count, settings=RenderSettings(**render)
    )
    hook.remove()
    cost = cost_of(tiny_model, tmp_path / "set", **render)
    assert cost.calls * cost.rows_per_call == pytest.approx(20 + guided)
    assert sum(rows) == count * (20 + guided)
    assert cost.flops == (20 + guided) * cost.row_flops + cost.decode_flops


def test_a_guidance_interval_takes_its_rows_out_of_the_time(tiny_model, tmp_path, monkeypatch):
    from ncm_lib.engine import estimate as module

    # a call of three rows takes three seconds, and nothing else any
    monkeypatch.setattr(module, "_probe", lambda _, samples: (0.0, 3.0, 0.0, [None] * len(samples)))
    part, whole = (
        cost_of(tiny_model, tmp_path, num_inference_steps=10, guidance_scale=3.0, guidance_interval=interval)
        for interval in ((0.2, 0.8), (0.0, 1.0))
    )
    assert [cost.seconds_per_batch for cost in (part, whole)] == pytest.approx([26, 30], abs=0.1)


def test_the_probe_has_guidance_wherever_the_interval_lies(tiny_model, tmp_path):
    rows = []
    hook = tiny_model.family.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    cost_of(tiny_model, tmp_path, num_inference_steps=10, guidance_scale=3.0, guidance_interval=(0.6, 1.0))
    hook.remove()
    # one row to count operations, then two steps of four samples
    assert rows == [1, 12, 12]


@pytest.mark.parametrize("cache", ["taylor", "taylor-blocks", "broadcast"])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.25, 1.0)])
def test_a_cache_leaves_out_what_the_counter_does_not_see_in_a_run(family_folder, tmp_path, cache, interval):
    model = load_model(family_folder("sd35"), device="cpu", speed=Speed(cache=cache))
    settings = {"num_inference_steps": 8, "guidance_interval": interval, "height": 16, "width": 16}
    cost = cost_of(model, tmp_path, count=1, **settings)
    method = NoiseCutMix(classes=CLASSES).resolved(seed=0, latent_height=8, latent_width=8, latent_cell=2)
    renderer = Renderer(model, RenderSettings(**settings))
    sample = method.plan_one(0)
    renderer.learn_prompts([condition.prompt for condition in sample.conditions])
    with torch.no_grad():
        model.family.encode_negative("")
    # rows of a batch share a part of the work (the patches' places), so ours, counted row by row, are a little more
    run = _counted(lambda: renderer.latents([sample])) - _counted(lambda: model.family.encode_negative(""))
    assert cost.flops - cost.decode_flops == pytest.approx(run, rel=0.02)
    assert cost.computed < 0.95
    plain = cost_of(load_model(family_folder("sd35"), device="cpu"), tmp_path, count=1, **settings)
    assert (plain.computed, plain.row_flops) == (1, cost.row_flops)


def test_image_starts_cost_the_steps_that_they_run_and_an_encoding(tiny_model, tmp_path):
    listing = PoolListing(images=(("a",), ("b",), ("c",)))
    method = DAFusion(classes=CLASSES, images=listing, strengths=(0.2, 1.0))
    pictures = dict.fromkeys("abc", Image.new("RGB", (16, 16), "tan")).__getitem__
    render = RenderSettings(num_inference_steps=10, guidance_scale=3.0)
    method, manifest = settled(
        method, Renderer(tiny_model, render, real_image=pictures), out=tmp_path, count=2000, seed=0, batch_size=2,
        image_format="png",
    )  # fmt: skip
    cost = estimate(method, manifest, tiny_model, render, real_image=pictures)
    share = float((method.plan(0, 2000).images.strength_ids == 1).mean())
    assert cost.calls == pytest.approx(2 + 8 * share)
    with torch.no_grad(), FlopCounterMode(display=False) as encode:
        tiny_model.family.encode_images(torch.zeros(1, 3, 16, 16))
    # the counter has no number for the attention kernel of the CPU
    assert cost.encode_flops >= encode.get_total_flops() > 0
    assert cost.flops == round(cost.calls * 2 * cost.row_flops) + cost.decode_flops + cost.encode_flops


def test_a_second_order_scheduler_calls_the_model_twice_in_a_step(tiny_model, tmp_path):
    assert cost_of(tiny_model, tmp_path, num_inference_steps=10, scheduler="HeunDiscreteScheduler").calls == 19


@pytest.mark.parametrize(("image_format", "save_masks"), [("png", True), ("webp", False), ("jpeg", True)])
def test_sizes_are_those_of_the_files_that_a_run_of_two_steps_writes(tiny_model, tmp_path, image_format, save_masks):
    cost = cost_of(tiny_model, tmp_path / "set", image_format=image_format, save_masks=save_masks)
    assert not (tmp_path / "set").exists()
    generate(
        NoiseCutMix(classes=CLASSES), tiny_model, out=tmp_path / "set", count=4, image_format=image_format,
        save_masks=save_masks, settings=RenderSettings(num_inference_steps=2),
    )  # fmt: skip
    patterns = ("images/*/*", "masks/*/*", "metadata*.jsonl")
    written = sum(file.stat().st_size for pattern in patterns for file in (tmp_path / "set").glob(pattern))
    # the log's lines know the file's size, which a record does not before it is written
    assert cost.bytes_per_image == pytest.approx(written / 4 + 4 * len(CLASSES), abs=8)


def test_time_goes_up_by_whole_batches(tiny_model, tmp_path):
    cost = dataclasses.replace(cost_of(tiny_model, tmp_path), batch_shape=4, seconds_per_batch=3.0)
    assert [cost.seconds(images) for images in (0, 1, 4, 5)] == [0, 3, 3, 6]


def test_more_steps_cost_more_time(tiny_model, tmp_path):
    few, many = (cost_of(tiny_model, tmp_path, num_inference_steps=steps) for steps in (2, 1000))
    assert many.seconds_per_batch > 20 * few.seconds_per_batch > 0


def refusing(limit):
    """A ``Renderer.latents`` that has memory for so many samples."""
    original = Renderer.latents

    def latents(self, samples, on_step=None):
        if len(samples) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(self, samples, on_step)

    return latents


def test_a_batch_that_does_not_fit_is_halved_as_the_run_will_do(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Renderer, "latents", refusing(3))
    assert cost_of(tiny_model, tmp_path, count=8).batch_shape == 2


def test_a_sample_that_does_not_fit_alone_is_an_error_with_its_size(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Renderer, "latents", refusing(0))
    with pytest.raises(InputError, match=r"single sample of 16 x 16 pixels does not fit into the memory of cpu.*fp16"):
        cost_of(tiny_model, tmp_path)


def test_images_that_came_out_black_give_no_size(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Renderer, "images", lambda _, latents: [None] * len(latents))
    assert cost_of(tiny_model, tmp_path).bytes_per_image is None


def test_other_errors_are_told_as_they_are(tiny_model, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(Renderer, "latents", broken)
    with pytest.raises(RuntimeError, match="something else"):
        cost_of(tiny_model, tmp_path)
