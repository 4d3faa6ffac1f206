"""Area resizing against two oracles: repeat-and-average on the common refinement, and the mean itself."""

import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.masks import sample_cutmix_masks
from ncm_lib.maths.resize import area_resize

SIZES = [(65, 8), (65, 96), (7, 13), (13, 7), (8, 8), (1, 5), (5, 1), (512, 64), (64, 512)]


def refined(mask, new, dim):
    """Every cell is cut into `new` equal slices; blocks of `old` slices are the new cells."""
    old = mask.shape[dim]
    return mask.double().repeat_interleave(new, dim).unflatten(dim, (new, old)).mean(dim + 1)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_it_equals_averaging_on_the_common_refinement(old, new):
    mask = torch.rand(2, 1, old, 7, generator=torch.Generator().manual_seed(old), dtype=torch.float64)
    expected = refined(refined(mask, new, 2), 5, 3)
    torch.testing.assert_close(area_resize(mask, new, 5), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_the_mean_stays_for_any_pair_of_sizes(old, new):
    masks = sample_cutmix_masks(6, old, old, seed=old)
    resized = area_resize(masks.mask.double(), new, new)
    torch.testing.assert_close(resized.mean(dim=(1, 2, 3)), masks.weight_a, rtol=0, atol=1e-14)
    in_single = area_resize(masks.mask, new, new)
    assert in_single.dtype == torch.float32
    torch.testing.assert_close(in_single.double().mean(dim=(1, 2, 3)), masks.weight_a, rtol=0, atol=3e-8)


def test_torch_area_mode_would_not_have_kept_the_mean():
    masks = sample_cutmix_masks(20, 65, 65)
    by_torch = torch.nn.functional.interpolate(masks.mask, (8, 8), mode="area")
    assert (by_torch.double().mean(dim=(1, 2, 3)) - masks.weight_a).abs().max() > 1e-4


@pytest.mark.parametrize("value", [0.0, 1.0, 0.25])
def test_a_constant_mask_stays_exactly_constant(value):
    assert torch.equal(area_resize(torch.full((3, 65, 33), value), 8, 96), torch.full((3, 8, 96), value))


def test_the_same_size_gives_the_same_mask():
    mask = sample_cutmix_masks(4, 17, 9).mask
    assert torch.equal(area_resize(mask, 17, 9), mask)


def test_edges_are_fractional_and_values_stay_in_range():
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    torch.testing.assert_close(area_resize(mask, 1, 2), torch.tensor([[1.0, 1 / 3]]))


@pytest.mark.parametrize("shape", [(9, 7), (1, 9, 7), (2, 3, 9, 7)])
def test_only_the_last_two_dimensions_change(shape):
    assert area_resize(torch.ones(shape), 4, 5).shape == (*shape[:-2], 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_masks_keep_their_dtype(dtype):
    mask = sample_cutmix_masks(4, 64, 64).mask
    resized = area_resize(mask.to(dtype), 8, 8)
    assert resized.dtype == dtype
    assert torch.equal(resized, area_resize(mask, 8, 8).to(dtype))


@pytest.mark.parametrize("bad", [float("nan"), -0.01, 1.01, float("inf")])
def test_values_that_are_no_share_are_refused(bad):
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 2, 3] = bad
    with pytest.raises(InputError, match=r"a share between 0 and 1 per cell, without NaN. Clamp it"):
        area_resize(mask, 2, 2)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(InputError, match="every side needs at least 1"):
        area_resize(torch.ones(4, 4), *size)
