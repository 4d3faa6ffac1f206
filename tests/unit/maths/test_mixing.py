"""Mixing and guidance: the golden mix, and which shapes fit."""

import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.mixing import guide, mix_predictions


def constant(value, dtype=torch.float64):
    return torch.full((2, 4, 3, 5), value, dtype=dtype)


@pytest.mark.parametrize(("mask", "expected"), [(1.0, 1.6), (0.0, -2.15), (0.25, -1.2125)])
def test_golden_mix(mask, expected):
    plane = torch.full((2, 1, 3, 5), mask, dtype=torch.float64)
    mixed = mix_predictions([constant(0.3), constant(-0.2)], [plane, 1 - plane])
    torch.testing.assert_close(guide(constant(0.1), mixed, 7.5), constant(expected))


def test_mixing_before_guidance_equals_guidance_before_mixing():
    generator = torch.Generator().manual_seed(0)
    e_u, e_a, e_b = (torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(2, 1, 3, 5, generator=generator, dtype=torch.float64)
    masks = [mask, 1 - mask]
    first = guide(e_u, mix_predictions([e_a, e_b], masks), 7.5)
    second = mix_predictions([guide(e_u, e_a, 7.5), guide(e_u, e_b, 7.5)], masks)
    torch.testing.assert_close(first, second)


def test_each_cell_of_a_binary_mask_is_one_prediction_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    predictions = [torch.randn(2, 4, 3, 5, generator=generator) for _ in range(3)]
    owner = torch.randint(3, (2, 1, 3, 5), generator=generator)
    mixed = mix_predictions(predictions, [(owner == k).float() for k in range(3)])
    for k, prediction in enumerate(predictions):
        cells = (owner == k).expand_as(mixed)
        assert torch.equal(mixed[cells], prediction[cells])


def test_one_condition_with_a_full_mask_is_itself():
    prediction = torch.randn(2, 4, 3, 5)
    assert torch.equal(mix_predictions([prediction], [torch.ones(1, 1, 1, 1)]), prediction)


@pytest.mark.parametrize("shape", [(2, 1, 3, 5), (1, 1, 3, 5), (3, 5), (2, 4, 3, 5), ()])
def test_masks_broadcast(shape):
    mixed = mix_predictions([constant(1.0), constant(3.0)], [torch.full(shape, 0.5)] * 2)
    torch.testing.assert_close(mixed, constant(2.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_mix_has_the_dtype_of_the_predictions(dtype):
    mixed = mix_predictions([constant(1.0, dtype), constant(2.0, dtype)], [torch.full((2, 1, 3, 5), 0.5)] * 2)
    assert mixed.dtype == dtype
    assert (mixed == 1.5).all()


def test_packed_predictions_mix_too():
    tokens = torch.ones(2, 16, 64)
    assert torch.equal(mix_predictions([tokens], [torch.ones(2, 16, 1)]), tokens)


@pytest.mark.parametrize("scale", [0, 1, 1.0, 7.5])
def test_guidance_extrapolates_from_the_unconditional_prediction(scale):
    torch.testing.assert_close(guide(constant(2.0), constant(3.0), scale), constant(2.0 + scale))


MASK = torch.ones(2, 1, 3, 5)


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize(
    ("predictions", "masks", "message"),
    [
        ([], [], "0 predictions and 0 masks"),
        ([constant(1.0)], [MASK, MASK], "1 predictions and 2 masks came; give one mask per prediction"),
        ([constant(1.0), torch.ones(2, 4, 3, 4)], [MASK, MASK], r"Prediction 1 has shape \(2, 4, 3, 4\)"),
        ([constant(1.0)], [torch.ones(2, 1, 4, 5)], r"Mask 0 has shape \(2, 1, 4, 5\).*area_resize"),
        ([constant(1.0)], [torch.ones(3, 1, 3, 5)], r"Mask 0 has shape \(3, 1, 3, 5\)"),
        ([constant(1.0)], [torch.ones(1, 2, 1, 3, 5)], "does not fit predictions"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shape(predictions, masks, message):
    with pytest.raises(InputError, match=message):
        mix_predictions(predictions, masks)


@pytest.mark.usefixtures("as_in_production")
def test_guidance_does_not_broadcast():
    with pytest.raises(InputError, match="they must agree"):
        guide(torch.ones(1, 4, 3, 5), torch.ones(2, 4, 3, 5), 2.0)
