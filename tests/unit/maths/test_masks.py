"""CutMix boxes and masks: the golden boxes, the statistics that the placements promise, and purity."""

import dataclasses

import numpy as np
import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.masks import Box, cutmix_box, plan_cutmix, render_boxes, sample_cutmix_masks

MANY = 200_000


@pytest.mark.parametrize(
    ("size", "lam", "centre", "x", "y", "share"),
    [
        (512, 0.75, (256, 256), (128, 384), (128, 384), 0.25),
        (512, 0.75, (10, 500), (0, 138), (372, 512), 0.0736999512),
        (512, 0.5, (256, 256), (75, 437), (75, 437), 0.4998931885),
        (512, 0.0, (0, 0), (0, 256), (0, 256), 0.25),
        (512, 0.999999, (300, 300), (300, 300), (300, 300), 0.0),
        (64, 0.5, (32, 32), (10, 54), (10, 54), 0.4726562500),
    ],
)
def test_golden_box(size, lam, centre, x, y, share):
    box = cutmix_box(size, size, lam, *centre)
    assert box == Box(x[0], y[0], x[1], y[1])
    assert box.area / size**2 == pytest.approx(share, abs=5e-11)


def test_width_and_x_belong_together_on_an_oblong_grid():
    assert cutmix_box(100, 10, 0.75, 99, 5) == Box(74, 3, 100, 7)


@pytest.mark.parametrize("lam", [0, 1])
def test_lambda_zero_fills_and_lambda_one_is_empty(lam):
    box = cutmix_box(8, 6, lam, 4, 3)
    assert box.area == (48 if lam == 0 else 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 8, -0.1, 0, 0), "lambda is -0.1.*from 0 to 1"),
        ((8, 8, 1.1, 0, 0), "lambda is 1.1"),
        ((8, 8, float("nan"), 0, 0), "lambda is nan"),
        ((8, 8, 0.5, 8, 0), r"centre \(8, 0\) is off the grid; take 0 <= cx < 8"),
        ((8, 8, 0.5, 0, -1), "off the grid"),
        ((0, 8, 0.5, 0, 0), "at least 1 cell"),
    ],
)
def test_a_box_that_cannot_be_cut_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        cutmix_box(*arguments)


@pytest.mark.parametrize(("size", "share_b"), [(512, 0.3195), (64, 0.3100), (16, 0.2772)])
def test_truncated_boxes_own_less_than_a_third_on_average(size, share_b):
    plan = plan_cutmix(MANY, size, size)
    assert 1 - plan.weight_a.mean() == pytest.approx(share_b, abs=0.0025)
    of_the_reference = plan_cutmix(MANY, size, size, box_class="a")
    assert of_the_reference.weight_a.mean() == pytest.approx(share_b, abs=0.0025)


@pytest.mark.parametrize("size", [512, 64, 16])
def test_exact_rounding_keeps_the_continuous_mean_share_on_every_grid(size):
    plan = plan_cutmix(MANY, size, size, rounding="exact")
    assert 1 - plan.weight_a.mean() == pytest.approx(77 / 240, abs=0.0025)


def expected_share_of_boxes_inside(size):
    # sides are k cells where size * sqrt(u) rounds to k; u is uniform
    sides = np.arange(size + 1)
    upper, lower = np.minimum(sides + 0.5, size), np.maximum(sides - 0.5, 0)
    return ((upper**2 - lower**2) / size**2 * sides**2 / size**2).sum()


@pytest.mark.parametrize("size", [64, 16])
def test_boxes_placed_inside_give_each_class_half_on_average(size):
    expected = 1 - expected_share_of_boxes_inside(size)
    assert expected == pytest.approx(0.5, abs=0.001)
    plan = plan_cutmix(MANY, size, size, placement="inside")
    assert plan.weight_a.mean() == pytest.approx(expected, abs=0.0025)


@pytest.mark.parametrize(("size", "gap"), [(512, 0.18), (64, 0.19), (16, 0.22)])
def test_sampled_lambda_is_far_from_the_area_when_boxes_are_truncated(size, gap):
    plan = plan_cutmix(MANY, size, size)
    assert np.abs(plan.lam - plan.weight_a).mean() == pytest.approx(gap, abs=0.005)


def test_a_few_boxes_of_a_small_grid_are_empty_under_the_integer_rule():
    plan = plan_cutmix(MANY, 16, 16)
    assert (plan.weight_a == 1).mean() == pytest.approx(0.016, abs=0.0015)


def test_a_box_inside_has_its_full_rounded_size_and_every_place_is_equally_likely():
    plan = plan_cutmix(MANY, 9, 9, placement="inside")
    side = np.rint(9 * np.sqrt(1 - plan.lam)).astype(int)
    np.testing.assert_array_equal(plan.boxes[:, 2] - plan.boxes[:, 0], side)
    np.testing.assert_array_equal(plan.boxes[:, 3] - plan.boxes[:, 1], side)
    places = np.bincount(plan.boxes[side == 5, 0])
    assert len(places) == 5
    assert (np.abs(places / places.mean() - 1) < 0.1).all()


@pytest.mark.parametrize("rounding", ["reference", "exact"])
@pytest.mark.parametrize("size", [(8, 8), (5, 11)])
def test_planned_boxes_follow_the_rule_for_some_centre(size, rounding):
    height, width = size
    plan = plan_cutmix(60, height, width, rounding=rounding)
    for box, lam in zip(plan.boxes, plan.lam, strict=True):
        assert any(
            Box(*box) == boxed(width, height, lam, cx, cy, rounding) for cx in range(width) for cy in range(height)
        )


def boxed(width, height, lam, cx, cy, rounding):
    if rounding == "reference":
        return cutmix_box(width, height, lam, cx, cy)
    edges = []
    for length, centre in ((width, cx), (height, cy)):
        cut = round(length * (1 - lam) ** 0.5)
        edges.append((max(centre - cut // 2, 0), min(centre - cut // 2 + cut, length)))
    return Box(edges[0][0], edges[1][0], edges[0][1], edges[1][1])


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 1.0, 5.0, 1e3])
def test_lambda_has_the_moments_of_the_symmetric_beta(alpha):
    lam = plan_cutmix(20_000, 8, 8, alpha=alpha).lam
    assert np.isfinite(lam).all()
    assert lam.min() >= 0
    assert lam.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(lam.mean() - 0.5) < 4 * (variance / 20_000) ** 0.5
    assert lam.var() == pytest.approx(variance, rel=0.05)


def test_extreme_alpha_reaches_both_whole_classes():
    plan = plan_cutmix(1000, 8, 8, alpha=1e-3, placement="inside")
    assert set(np.unique(plan.weight_a)) >= {0.0, 1.0}


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("placement", ["truncate", "inside"])
def test_a_sample_does_not_depend_on_the_range_around_it(alpha, placement):
    whole = plan_cutmix(50, 12, 10, alpha=alpha, seed=9, start=100, placement=placement)
    for first, count in ((0, 1), (17, 1), (30, 20)):
        part = plan_cutmix(count, 12, 10, alpha=alpha, seed=9, start=100 + first, placement=placement)
        for field in dataclasses.fields(part):
            np.testing.assert_array_equal(getattr(part, field.name), getattr(whole, field.name)[first : first + count])


def test_other_seeds_give_other_boxes():
    first, second = plan_cutmix(1000, 64, 64, seed=0), plan_cutmix(1000, 64, 64, seed=1)
    assert not (first.lam == second.lam).any()
    assert abs(np.corrcoef(first.lam, second.lam)[0, 1]) < 4 / 1000**0.5


@pytest.mark.parametrize("box_class", ["b", "a"])
def test_masks_are_the_plan_rendered(box_class):
    masks = sample_cutmix_masks(20, 6, 9, seed=3, start=5, box_class=box_class)
    plan = plan_cutmix(20, 6, 9, seed=3, start=5, box_class=box_class)
    assert masks.mask.shape == (20, 1, 6, 9)
    assert masks.mask.dtype == torch.float32
    assert masks.lam.dtype == masks.weight_a.dtype == torch.float64
    np.testing.assert_array_equal(masks.boxes, plan.boxes)
    np.testing.assert_array_equal(masks.weight_a, plan.weight_a)
    np.testing.assert_array_equal(masks.lam, plan.lam)
    for row, (x0, y0, x1, y1) in enumerate(plan.boxes):
        expected = np.full((6, 9), 0.0 if box_class == "a" else 1.0)
        expected[y0:y1, x0:x1] = 1.0 if box_class == "a" else 0.0
        np.testing.assert_array_equal(masks.mask[row, 0], expected)


def test_box_class_a_is_the_complement_of_b():
    of_b, of_a = (sample_cutmix_masks(50, 16, 16, box_class=owner) for owner in ("b", "a"))
    assert torch.equal(of_a.mask, 1 - of_b.mask)
    assert torch.allclose(of_a.weight_a, 1 - of_b.weight_a, atol=1e-15)


def test_no_samples_are_a_plan_too():
    masks = sample_cutmix_masks(0, 4, 4)
    assert masks.mask.shape == (0, 1, 4, 4)
    assert masks.boxes.shape == (0, 4)


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0; .*finite number above 0"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"alpha": float("inf")}, "alpha is inf"),
        ({"n": -1}, "n is -1; ask for 0 or more"),
        ({"height": 0}, "0 x 8 cells .*at least 1 cell"),
        ({"width": -3}, "8 x -3 cells"),
        ({"start": -1}, "0 <= start"),
        ({"seed": -1}, "The seed is -1"),
        ({"placement": "middle"}, "placement is 'middle'; take one of: truncate, inside"),
        ({"rounding": "up"}, "rounding is 'up'; take one of: reference, exact"),
        ({"box_class": "B"}, "box_class is 'B'; take one of: b, a"),
    ],
)
@pytest.mark.parametrize("draw", [plan_cutmix, sample_cutmix_masks])
def test_an_argument_that_cannot_be_is_refused_with_what_can(draw, arguments, message):
    with pytest.raises(InputError, match=message):
        draw(**({"n": 2, "height": 8, "width": 8} | arguments))


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (3, 0, 2, 2), (0, 0, 9, 2), (0, -1, 2, 2), (0, 2, 2, 1), (0, 0, 2, 6)])
def test_a_box_off_the_grid_is_refused_with_its_row(box):
    boxes = np.array([(0, 0, 8, 5), box], dtype=np.int32)
    with pytest.raises(InputError, match=r"Box 1 is x .*not on the grid of 5 x 8 cells"):
        render_boxes(boxes, 5, 8)
