"""Masks and labels under any input: the label is the mean of the mask, whatever the grid and the settings."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncm_lib.errors import InputError
from ncm_lib.maths.labels import soft_labels
from ncm_lib.maths.masks import Box, cutmix_box, plan_cutmix, sample_cutmix_masks
from ncm_lib.maths.mixing import mix_predictions
from ncm_lib.maths.resize import area_resize
from ncm_lib.maths.rng import uniforms

sides = st.integers(1, 40)
seeds = st.integers(0, 2**63 - 1)
choices = st.fixed_dictionaries(
    {
        "alpha": st.one_of(st.sampled_from([1e-3, 1.0, 1e3]), st.floats(1e-3, 1e3)),
        "placement": st.sampled_from(["truncate", "inside"]),
        "rounding": st.sampled_from(["reference", "exact"]),
        "box_class": st.sampled_from(["b", "a"]),
    }
)


@pytest.mark.parametrize(
    ("grid", "placement"),
    [
        ((1, 1), "truncate"), ((7, 13), "inside"), ((16, 16), "truncate"), ((28, 28), "inside"),
        ((32, 32), "inside"), ((33, 65), "truncate"), ((64, 64), "truncate"), ((96, 64), "inside"),
    ],
)  # fmt: skip
def test_label_is_the_mean_of_the_mask_for_10000_boxes(grid, placement):
    height, width = grid
    for start in range(0, 10_000, 1000):
        masks = sample_cutmix_masks(1000, height, width, seed=21, start=start, placement=placement)
        owned = masks.mask.flatten(1).sum(1, dtype=torch.float64)
        assert torch.equal(masks.weight_a, owned / (height * width))
    weights = torch.stack([masks.weight_a, 1 - masks.weight_a], dim=1)
    labels = soft_labels(torch.tensor([[3, 1]]).repeat(1000, 1), weights, 5)
    assert ((labels.sum(1) - 1).abs() <= 1e-6).all()
    torch.testing.assert_close(labels[:, 3].double(), masks.weight_a, rtol=0, atol=1e-7)


@given(sides, sides, choices, seeds, st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_any_mask_is_binary_and_its_mean_is_the_label(height, width, options, seed, start):
    masks = sample_cutmix_masks(8, height, width, seed=seed, start=start, **options)
    assert ((masks.mask == 0) | (masks.mask == 1)).all()
    owned = masks.mask.flatten(1).sum(1, dtype=torch.float64)
    assert torch.equal(masks.weight_a, owned / (height * width))
    assert ((masks.lam >= 0) & (masks.lam <= 1)).all()
    x0, y0, x1, y1 = masks.boxes.T
    assert ((x0 >= 0) & (x0 <= x1) & (x1 <= width) & (y0 >= 0) & (y0 <= y1) & (y1 <= height)).all()


@given(sides, sides, choices, seeds, st.integers(0, 2**40), st.integers(0, 20), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_a_sample_is_a_function_of_seed_and_index(height, width, options, seed, start, skip, count):
    whole = plan_cutmix(skip + count, height, width, seed=seed, start=start, **options)
    part = plan_cutmix(count, height, width, seed=seed, start=start + skip, **options)
    np.testing.assert_array_equal(part.boxes, whole.boxes[skip:])
    np.testing.assert_array_equal(part.weight_a, whole.weight_a[skip:])


@given(st.integers(0, 2**63 - 2), st.text("abc/_", max_size=20), st.integers(0, 2**50), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_streams_of_neighbouring_seeds_and_purposes_share_no_number(seed, purpose, start, per_sample):
    here = uniforms(seed, purpose, start, start + 20, per_sample)
    for other in (
        uniforms(seed + 1, purpose, start, start + 20, per_sample),
        uniforms(seed, purpose + "'", start, start + 20, per_sample),
        uniforms(seed, purpose, start + 20, start + 40, per_sample),
    ):
        assert not np.intersect1d(here, other).size


@given(st.data(), sides, sides, st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_box_lies_on_the_grid_and_is_no_larger_than_its_share(data, width, height, lam):
    cx, cy = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = cutmix_box(width, height, lam, cx, cy)
    assert 0 <= box.x0 <= box.x1 <= width
    assert 0 <= box.y0 <= box.y1 <= height
    assert box.area <= (1 - lam) * width * height * (1 + 1e-9)
    if lam == 1:
        assert box.area == 0
    assert cutmix_box(height, width, lam, cy, cx) == Box(box.y0, box.x0, box.y1, box.x1)


@given(sides, sides, sides, sides, st.sampled_from(["zeros", "ones", "binary", "fractional"]), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_resizing_keeps_the_mean_and_the_range_of_any_mask(height, width, new_height, new_width, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    fractional = torch.rand(2, 1, height, width, generator=generator, dtype=torch.float64)
    mask = {
        "zeros": torch.zeros_like(fractional),
        "ones": torch.ones_like(fractional),
        "binary": fractional.round(),
        "fractional": fractional,
    }[kind]
    resized = area_resize(mask, new_height, new_width)
    torch.testing.assert_close(resized.mean(dim=(1, 2, 3)), mask.mean(dim=(1, 2, 3)), rtol=0, atol=1e-13)
    assert resized.min() >= 0
    assert resized.max() <= 1 + 1e-15
    # the complement's resize is the resize's complement, so that two classes still share every cell
    torch.testing.assert_close(area_resize(1 - mask, new_height, new_width), 1 - resized, rtol=0, atol=1e-13)


@given(st.one_of(st.just(float("nan")), st.floats(max_value=-1e-9), st.floats(min_value=1 + 1e-9)), st.integers(0, 15))
@settings(deadline=None)
def test_a_mask_with_one_bad_cell_is_refused(value, cell):
    mask = torch.full((16,), 0.5, dtype=torch.float64)
    mask[cell] = value
    with pytest.raises(InputError, match="share between 0 and 1"):
        area_resize(mask.reshape(1, 1, 4, 4), 2, 2)


@given(sides, sides, sides, sides, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_mask_of_another_grid_or_batch_is_refused_unless_it_broadcasts(height, width, mask_h, mask_w, batch, count):
    prediction, mask = torch.ones(batch, 4, height, width), torch.ones(count, 1, mask_h, mask_w)
    if mask_h in (1, height) and mask_w in (1, width) and count in (1, batch):
        assert torch.equal(mix_predictions([prediction], [mask]), prediction)
    else:
        with pytest.raises(InputError, match="does not fit predictions"):
            mix_predictions([prediction], [mask])


@given(st.data(), st.integers(1, 6), st.integers(1, 4), st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_labels_sum_to_one_and_hold_every_weight(data, rows, classes_per_row, num_classes):
    ids = data.draw(st.lists(st.integers(0, num_classes - 1), min_size=rows * classes_per_row,
                             max_size=rows * classes_per_row))  # fmt: skip
    shares = data.draw(st.lists(st.floats(0.01, 1), min_size=len(ids), max_size=len(ids)))
    class_ids = torch.tensor(ids).reshape(rows, classes_per_row)
    weights = torch.tensor(shares, dtype=torch.float64).reshape(rows, classes_per_row)
    weights = weights / weights.sum(1, keepdim=True)
    labels = soft_labels(class_ids, weights, num_classes)
    assert ((labels.sum(1) - 1).abs() <= 1e-6).all()
    expected = (torch.nn.functional.one_hot(class_ids, num_classes) * weights[..., None]).sum(1)
    torch.testing.assert_close(labels.double(), expected, rtol=0, atol=1e-7)
