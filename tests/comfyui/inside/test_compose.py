"""What may be done to a class's conditioning before it is mixed; and what then no longer is a mix."""

import pytest
import torch
from harness.graph import Link
from harness.internals import helper_module, rows_of_network
from harness.mixing import PROMPTS, Mixing, box_mask, latents
from torch import Tensor

IN_A, IN_B = box_mask()[0] == 1, box_mask()[0] == 0
COUNT = 2


def ours_and_stock(mix: Mixing, run_graph) -> Tensor:
    """Our latents, which are the stock graph's to the last bit; our guider's are the stock guider's."""
    found = latents(run_graph(mix.ours().stock().our_guider().stock_guider()).captured)
    assert torch.equal(found["ours"], found["stock"])
    assert torch.equal(found["our guider"], found["stock guider"])
    return found["ours"]


def ours(mix: Mixing, run_graph) -> Tensor:
    return latents(run_graph(mix.ours()).captured)["ours"]


def difference(found: Tensor, expected: Tensor, cells: Tensor | None = None) -> float:
    """The largest one, in units of the largest latent."""
    cells = torch.ones(found.shape[-2:], dtype=torch.bool) if cells is None else cells
    return float((found - expected)[..., cells].abs().max() / expected.abs().max())


ROUNDING, VISIBLE = 2e-5, 0.02


def old_controlnet(mix: Mixing) -> None:
    """The node that lets the negative have the positive's ControlNet."""
    mix.a = mix.add("ControlNetApply", conditioning=mix.a, **controlnet(mix))[0]


def controlnet_on_pair(mix: Mixing) -> None:
    pair = mix.add("ControlNetApplyAdvanced", positive=mix.a, negative=mix.negative, start_percent=0.0,
                   end_percent=1.0, **controlnet(mix))  # fmt: skip
    mix.a, mix.negative = pair[0], pair[1]


def controlnet(mix: Mixing) -> dict[str, Link | float]:
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    return {"control_net": mix.add("NCMTest_TinyControlNet")[0], "image": mix.given(picture), "strength": 1.0}


applied = pytest.mark.parametrize("apply", [old_controlnet, controlnet_on_pair])


@applied
def test_a_controlnet_on_class_a_gives_the_stock_graphs_latents(apply, run_graph):
    mix = Mixing(mask=box_mask(), count=COUNT)
    apply(mix)
    found = ours_and_stock(mix, run_graph)
    assert difference(found, ours(Mixing(mask=box_mask(), count=COUNT), run_graph)) > VISIBLE


@applied
@pytest.mark.parametrize(("cfg", "per_sample"), [(4.0, 2), (1.0, 1)], ids=["with negative", "cfg 1"])
def test_a_controlnet_on_class_a_runs_for_class_a_and_the_negative_only(apply, cfg, per_sample, comfy, run_graph):
    mix = Mixing(mask=box_mask(), count=COUNT, cfg=cfg)
    apply(mix)
    with rows_of_network(helper_module(comfy, "tiny_models").tiny_controlnet().control_model) as rows:
        ours(mix, run_graph)
    assert rows == [COUNT * per_sample] * 3


@applied
def test_a_controlnet_on_class_a_does_not_touch_class_bs_prediction(apply, run_graph):
    def after_one_step(change=None) -> Tensor:
        # in one step, cells do not meet their neighbours' predictions; at cfg 1 there is no negative either
        mix = Mixing(mask=box_mask(), count=COUNT, cfg=1.0, steps=1)
        if change:
            change(mix)
        return ours(mix, run_graph)

    without, controlled = after_one_step(), after_one_step(apply)
    assert difference(controlled, without, IN_B) < ROUNDING
    assert difference(controlled, without, IN_A) > VISIBLE


def test_prompts_that_follow_each_other_in_time_are_one_class(run_graph):
    def one_after_the_other(first: str, then: str) -> Tensor:
        mix = Mixing(mask=box_mask(), count=COUNT, steps=4)
        halves = [mix.add("ConditioningSetTimestepRange", conditioning=mix.encode(text), start=start, end=end)[0]
                  for text, start, end in ((first, 0.0, 0.5), (then, 0.5, 1.0))]  # fmt: skip
        mix.a = mix.add("ConditioningCombine", conditioning_1=halves[0], conditioning_2=halves[1])[0]
        return ours_and_stock(mix, run_graph)

    bird = "a robin on a branch"
    always = ours(Mixing(mask=box_mask(), count=COUNT, steps=4, prompts=(bird, *PROMPTS[1:])), run_graph)
    assert difference(one_after_the_other(bird, bird), always) < ROUNDING
    assert difference(one_after_the_other("a blue car", bird), always) > VISIBLE


def test_a_class_that_is_absent_for_some_steps_leaves_its_cells_at_zero(run_graph):
    """Does not compose: give the absent time to another prompt, as above."""
    mix = Mixing(mask=box_mask(), count=COUNT, steps=1)
    mix.a = mix.add("ConditioningSetTimestepRange", conditioning=mix.a, start=0.5, end=1.0)[0]
    mix.negative = mix.add("ConditioningZeroOut", conditioning=mix.negative)[0]
    mix.settings["cfg"] = 1.0
    found = ours_and_stock(mix, run_graph)
    assert found[..., IN_A].abs().max() < ROUNDING * found.abs().max()
    assert found[..., IN_B].abs().mean() > VISIBLE * found.abs().max()


def test_an_area_inside_of_class_a_gives_the_stock_graphs_latents(run_graph):
    mask = box_mask(16, top=4, left=6, bottom=14, right=12)
    plain = ours(Mixing(mask=mask, count=COUNT, side=16), run_graph)
    mix = Mixing(mask=mask, count=COUNT, side=16)
    region = mix.add("ConditioningSetArea", conditioning=mix.encode("a blue car"), width=64, height=64, x=0, y=0,
                     strength=1.0)[0]  # fmt: skip
    mix.a = mix.add("ConditioningCombine", conditioning_1=mix.a, conditioning_2=region)[0]
    assert difference(ours_and_stock(mix, run_graph), plain) > VISIBLE


def test_cells_of_class_a_outside_of_its_only_area_stay_at_zero(run_graph):
    """Does not compose: add a prompt for the whole picture, as above."""
    mask = box_mask(16, top=4, left=6, bottom=14, right=12)
    mix = Mixing(mask=mask, count=COUNT, side=16, steps=1, cfg=1.0)
    mix.a = mix.add("ConditioningSetArea", conditioning=mix.a, width=64, height=64, x=0, y=0, strength=1.0)[0]
    found = ours_and_stock(mix, run_graph)
    outside = mask[0] == 1
    outside[:8, :8] = False
    assert found[..., outside].abs().max() < ROUNDING * found.abs().max()
    assert found[..., :4, :6].abs().mean() > VISIBLE * found.abs().max()


def test_a_mask_of_class_as_own_confines_it_further(run_graph):
    mix = Mixing(mask=box_mask(), count=COUNT)
    own = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(4))
    car = mix.add("ConditioningSetMask", conditioning=mix.encode("a blue car"), mask=mix.given(own), strength=1.0,
                  set_cond_area="default")[0]  # fmt: skip
    bird = mix.a
    mix.a = mix.add("ConditioningCombine", conditioning_1=bird, conditioning_2=car)[0]
    found = ours(mix, run_graph)
    # stock nodes have one mask per conditioning, so the product is made by hand
    product = own * box_mask()
    shares = [mix.add("ConditioningSetMask", conditioning=conditioning, mask=mix.given(mask), strength=1.0,
                      set_cond_area="default")[0]
              for conditioning, mask in ((bird, box_mask()), (car, product), (mix.b, 1 - box_mask()))]  # fmt: skip
    both = mix.add("ConditioningCombine", conditioning_1=shares[0], conditioning_2=shares[1])[0]
    all_three = mix.add("ConditioningCombine", conditioning_1=both, conditioning_2=shares[2])[0]
    expected = latents(run_graph(mix.plain(positive=all_three)).captured)["plain"]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("double", ["combined with itself", "strength 2"])
def test_a_class_of_double_weight_has_two_thirds_of_a_cell_that_is_shared_half_and_half(double, run_graph):
    """Does not compose with soft masks, as in stock graphs: the label says one half. Binary masks stay exact."""

    def doubled(mask: Tensor) -> Tensor:
        mix = Mixing(mask=mask, count=COUNT)
        if double == "strength 2":
            mix.a = mix.add("ConditioningSetAreaStrength", conditioning=mix.a, strength=2.0)[0]
        else:
            mix.a = mix.add("ConditioningCombine", conditioning_1=mix.a, conditioning_2=mix.a)[0]
        return ours_and_stock(mix, run_graph)

    def single(mask: Tensor) -> Tensor:
        return ours(Mixing(mask=mask, count=COUNT), run_graph)

    half = torch.full((1, 8, 8), 0.5)
    assert difference(doubled(half), single(half * 4 / 3)) < ROUNDING
    assert difference(doubled(half), single(half)) > VISIBLE
    assert difference(doubled(box_mask()), single(box_mask())) < ROUNDING
