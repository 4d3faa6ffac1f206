"""Samples of a batch: whose mask, prompt and noise they get, and how many rows they cost."""

import pytest
import torch
from harness.graph import Link
from harness.internals import rows_of_calls
from harness.mixing import Mixing, box_mask, latents

COUNT = 5
PAIRS_A = ("a robin", "a wren in the snow", "a blue car")
PAIRS_B = ("a red balloon", "an old house", "a tree")


def boxes(count: int) -> torch.Tensor:
    """Different masks, [count, 8, 8]."""
    return torch.cat([box_mask(top=k, left=k, bottom=k + 4, right=2 * k + 2) for k in range(count)])


@pytest.mark.parametrize("masks", [1, 2, 3, 5, 7])
def test_mask_k_goes_with_sample_k_and_masks_start_over(masks, run_graph):
    given = boxes(masks) if masks < 5 else torch.rand(masks, 8, 8).round()
    mix = Mixing(mask=given, count=COUNT).ours().our_guider()
    mix.mask = mix.given(torch.stack([given[k % masks] for k in range(COUNT)]))
    found = latents(run_graph(mix.stock().stock_guider()).captured)
    assert torch.equal(found["ours"], found["stock"])
    assert torch.equal(found["our guider"], found["stock guider"])
    different = found["ours"].flatten(1).unique(dim=0)
    assert len(different) == COUNT, "every sample has noise of its own"


def with_noise(mix: Mixing, first: int = 0) -> Mixing:
    """Every sample's noise is its own, the first one's that of index ``first``."""
    mix.noise = mix.add("NCM_SampleNoise", seed=11, first_index=first)[0]
    return mix


def assert_same_pictures(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Within what other batch sizes round differently."""
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m", "ddim", "uni_pc"])
def test_sample_k_of_a_batch_is_sample_k_alone(family, sampler_name, run_graph):
    masks = boxes(3)
    mix = Mixing(family, mask=masks, count=3, sampler_name=sampler_name)
    batch = latents(run_graph(with_noise(mix).ours()).captured)["ours"]
    for k in range(3):
        mix = Mixing(family, mask=masks[k], sampler_name=sampler_name)
        alone = latents(run_graph(with_noise(mix, k).ours()).captured)["ours"]
        assert_same_pictures(batch[k : k + 1], alone)


def test_the_seed_alone_gives_sample_k_other_noise_than_alone(run_graph):
    """Why Per-Sample Noise exists."""
    batch = latents(run_graph(Mixing(mask=box_mask(), count=2).ours()).captured)["ours"]
    alone = latents(run_graph(Mixing(mask=box_mask()).ours()).captured)["ours"]
    assert_same_pictures(batch[:1], alone)
    assert (batch[1] - alone[0]).abs().max() > 1


def encoded(mix: Mixing, prompts: tuple[str, ...]) -> Link:
    return mix.add("NCM_EncodePrompts", clip=mix.clip, prompts=mix.given(prompts))[0]


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl", "flux"])
def test_every_sample_has_its_own_prompts(family, run_graph):
    mix = Mixing(family, mask=box_mask(), count=3)
    mix.a, mix.b = encoded(mix, PAIRS_A), encoded(mix, PAIRS_B)
    batch = latents(run_graph(with_noise(mix).ours()).captured)["ours"]
    for k in range(3):
        mix = Mixing(family, mask=box_mask(), prompts=(PAIRS_A[k], PAIRS_B[k], "blurry"))
        found = latents(run_graph(with_noise(mix, k).ours()).captured)
        assert_same_pictures(batch[k : k + 1], found["ours"])


LONG = "a robin " * 90
"""More than the 77 tokens that CLIP encodes at once."""


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl"])
def test_prompts_of_unequal_length_share_a_batch_where_attention_is_across(family, run_graph):
    mix = Mixing(family, mask=box_mask(), count=2)
    mix.a = encoded(mix, (LONG, "a robin"))
    mix.capture("rows", mix.a)
    run = run_graph(with_noise(mix).ours())
    ((rows, _),) = run.captured.pop("rows")
    assert rows.shape[:2] == (2, 3 * 77)
    batch = latents(run.captured)["ours"]
    for k, prompt in enumerate((LONG, "a robin")):
        mix = Mixing(family, mask=box_mask(), prompts=(prompt, "a red balloon", "blurry"))
        found = latents(run_graph(with_noise(mix, k).ours()).captured)
        assert_same_pictures(batch[k : k + 1], found["ours"])


def test_the_demo_models_long_prompts_share_a_batch(run_graph):
    mix = Mixing(mask=box_mask())
    mix.clip = mix.add("NCM_LoadDemoModel", batch_size=2)[1]
    mix.capture("rows", encoded(mix, ("a photo of a banana " * 12, "a photo of a lemon")))
    ((rows, _),) = run_graph(mix).captured["rows"]
    assert rows.shape[0] == 2


def test_prompts_of_unequal_length_are_refused_where_prompt_and_picture_attend_together(run_graph):
    mix = Mixing("flux", mask=box_mask(), count=2)
    mix.a = encoded(mix, ("a short one", "bird " * 300))
    failure = run_graph(mix.ours(), check=False).failure
    assert failure.node_type == "NCM_EncodePrompts"
    assert failure.message.startswith("The prompt 'bird bird bird")
    assert "has 301 tokens and the shortest has 256." in failure.message
    assert "run it in a batch of its own" in failure.message


ROWS = [(4.0, 3), (1.0, 2)]


@pytest.mark.parametrize("family", ["sd15", "sd21", "flux"])
@pytest.mark.parametrize(("cfg", "per_sample"), ROWS)
def test_a_step_costs_the_rows_of_the_stock_graph(family, cfg, per_sample, comfy, run_graph):
    calls = {}
    for name in ("ours", "stock", "our_guider", "stock_guider"):
        mix = Mixing(family, mask=box_mask(), count=2, cfg=cfg)
        with rows_of_calls(comfy, family) as calls[name]:
            run_graph(getattr(mix, name)())
    assert calls["ours"] == [2 * per_sample] * 3, "one call in each of three steps"
    assert calls["ours"] == calls["stock"] == calls["our_guider"] == calls["stock_guider"]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_class_without_weight_costs_nothing(value, comfy, run_graph):
    mix = Mixing(mask=torch.full((2, 8, 8), value), count=2)
    with rows_of_calls(comfy, "sd15") as rows:
        found = latents(run_graph(mix.ours()).captured)["ours"]
    assert rows == [4] * 3
    plain = latents(run_graph(mix.plain(positive=mix.a if value else mix.b)).captured)["plain"]
    assert torch.equal(found, plain)


def test_one_sample_with_both_classes_makes_the_batch_cost_both(comfy, run_graph):
    mix = Mixing(mask=torch.cat([torch.ones(1, 8, 8), box_mask()]), count=2)
    with rows_of_calls(comfy, "sd15") as rows:
        run_graph(mix.ours())
    assert rows == [6] * 3
