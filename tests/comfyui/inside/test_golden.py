"""Our samplers against graphs of ComfyUI's own nodes."""

import pytest
import torch
from harness.mixing import Mixing, box_mask, latents

SAMPLERS = ["euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddim", "uni_pc",
            "uni_pc_bh2", "lms", "res_multistep", "deis"]  # fmt: skip
EACH_ON_EPS_AND_FLOW = [(family, sampler) for family in ("sd15", "flux") for sampler in SAMPLERS]
SPOT_CHECKS = [(family, sampler) for family in ("sd21", "sdxl") for sampler in ("euler", "dpmpp_2m")]
SOFT = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("family", "sampler_name"), EACH_ON_EPS_AND_FLOW + SPOT_CHECKS)
def test_a_binary_mask_gives_the_stock_graphs_latents_bit_for_bit(family, sampler_name, run_graph):
    mix = Mixing(family, mask=box_mask(), count=2, sampler_name=sampler_name)
    found = latents(run_graph(mix.ours().stock().our_guider().stock_guider().plain()).captured)
    assert (found["ours"] - found["stock"]).abs().max() == 0.0
    assert (found["our guider"] - found["stock guider"]).abs().max() == 0.0
    scale = found["plain"].abs().max()
    assert (found["ours"] - found["plain"]).abs().max() > 0.05 * scale, "class B shows"


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl", "flux"])
def test_a_soft_mask_gives_the_stock_graphs_latents_within_rounding(family, run_graph):
    mix = Mixing(family, mask=SOFT, count=2)
    found = latents(run_graph(mix.ours().stock().our_guider().stock_guider()).captured)
    for ours, stock in (("ours", "stock"), ("our guider", "stock guider")):
        assert (found[ours] - found[stock]).abs().max() <= 1e-5 * found[stock].abs().max()


@pytest.mark.parametrize("scheduler", ["karras", "beta", "sgm_uniform"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_any_scheduler_and_denoise_gives_the_stock_graphs_latents(scheduler, denoise, run_graph):
    mix = Mixing(mask=box_mask(), count=2, scheduler=scheduler, denoise=denoise)
    found = latents(run_graph(mix.ours().stock()).captured)
    assert torch.equal(found["ours"], found["stock"])


@pytest.mark.parametrize("cfg", [0.0, 1.0])
def test_any_guidance_gives_the_stock_graphs_latents(cfg, run_graph):
    found = latents(run_graph(Mixing(mask=box_mask(), count=2, cfg=cfg).ours().stock()).captured)
    assert torch.equal(found["ours"], found["stock"])


def video(mask: torch.Tensor) -> Mixing:
    mix = Mixing("wan", mask=mask, count=2)
    mix.latent = mix.given({"samples": torch.zeros(2, 16, 3, 8, 8)})
    return mix


def test_a_video_has_its_mask_in_every_frame(run_graph):
    """Stock nodes do the same with one mask; they take several as those of the frames, and ours as the samples'."""
    boxes = [box_mask(), box_mask(top=0, left=0, bottom=4, right=8)]
    one, other = (latents(run_graph(video(mask).ours().stock()).captured) for mask in boxes)
    assert torch.equal(one["ours"], one["stock"])
    assert torch.equal(other["ours"], other["stock"])
    both = latents(run_graph(video(torch.cat(boxes)).ours()).captured)["ours"]
    assert torch.equal(both, torch.stack([one["ours"][0], other["ours"][1]]))


@pytest.mark.parametrize("sampler_name", SAMPLERS)
def test_a_mask_of_ones_gives_ksamplers_latents_bit_for_bit(sampler_name, run_graph):
    mix = Mixing(mask=torch.ones(1, 8, 8), count=2, sampler_name=sampler_name)
    found = latents(run_graph(mix.ours().plain()).captured)
    assert torch.equal(found["ours"], found["plain"])


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("mask", [box_mask(), SOFT], ids=["binary", "soft"])
def test_equal_prompts_give_ksamplers_latents(family, mask, run_graph):
    mix = Mixing(family, mask=mask, count=2)
    mix.b = mix.a
    found = latents(run_graph(mix.ours().plain()).captured)
    # M + (1 - M) rounds where M is neither 0 nor 1
    tolerance = 0 if mask is not SOFT else 1e-5 * found["plain"].abs().max()
    assert (found["ours"] - found["plain"]).abs().max() <= tolerance


def image_latent(count: int = 3, **others) -> dict:
    return {"samples": torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(1)), **others}


@pytest.mark.parametrize("denoise", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("others", [{}, {"batch_index": [4, 0, 2]}], ids=["in order", "batch_index"])
def test_image_latents_are_changed_as_ksampler_changes_them(denoise, others, run_graph):
    mix = Mixing(mask=torch.ones(1, 8, 8), denoise=denoise)
    mix.latent = mix.given(image_latent(**others))
    captured = run_graph(mix.ours().plain()).captured
    found = latents(captured)
    assert torch.equal(found["ours"], found["plain"])
    assert torch.equal(found["ours"], image_latent()["samples"]) == (denoise == 0)
    assert captured["ours"].keys() == captured["plain"].keys()


def test_batch_index_chooses_the_noise(run_graph):
    def ours(count, **others):
        mix = Mixing(mask=box_mask())
        mix.latent = mix.given({"samples": torch.zeros(count, 4, 8, 8), **others})
        return latents(run_graph(mix.ours()).captured)["ours"]

    torch.testing.assert_close(ours(1, batch_index=[2])[0], ours(3, batch_index=[0, 1, 2])[2], rtol=1e-4, atol=1e-3)
    assert not torch.allclose(ours(1, batch_index=[2])[0], ours(1, batch_index=[1])[0], atol=1.0)


def off_the_grid(side: int = 64) -> torch.Tensor:
    """A mask at the picture's resolution whose box begins and ends inside of latent cells."""
    mask = torch.ones(1, side, side)
    mask[:, 13:46, 10:51] = 0
    return mask


def test_a_box_off_the_latent_grid_keeps_its_area_where_stock_nodes_change_it(run_graph):
    mix = Mixing(mask=off_the_grid(), steps=1)
    model = mix.model
    for name, sample in (("ours", mix.ours), ("stock", mix.stock)):
        spy = mix.add("NCMTest_Spy", model=model)
        mix.model = spy[0]
        mix.capture(f"{name} masks", spy[1])
        sample()
    captured = run_graph(mix).captured
    label = off_the_grid().mean()
    ((ours_a, ours_b),), ((stock_a, _),) = captured["ours masks"], captured["stock masks"]
    assert abs(ours_a.mean() - label) < 1e-6
    assert abs(ours_b.mean() - (1 - label)) < 1e-6
    assert abs(stock_a.mean() - label) > 1e-3
