"""Soft labels: where the weights go, and which are refused."""

import numpy as np
import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.labels import soft_labels


def test_each_weight_lands_on_its_class():
    labels = soft_labels(torch.tensor([[2, 0], [1, 3]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]]), 4)
    assert labels.dtype == torch.float32
    assert labels.tolist() == [[0.25, 0.0, 0.75, 0.0], [0.0, 0.5, 0.0, 0.5]]


def test_weights_of_equal_ids_add_up():
    assert soft_labels(torch.tensor([[1, 1, 0]]), torch.tensor([[0.5, 0.25, 0.25]]), 2).tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("ids", [np.int32, np.int64])
@pytest.mark.parametrize("weights", [np.float32, np.float64])
def test_arrays_work_as_tensors_do(ids, weights):
    labels = soft_labels(np.array([[0, 1]], dtype=ids), np.array([[0.3, 0.7]], dtype=weights), 2)
    np.testing.assert_allclose(labels, [[0.3, 0.7]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_that_sum_to_one_work(dtype):
    assert soft_labels(torch.tensor([[0, 1]]), torch.tensor([[0.25, 0.75]], dtype=dtype), 2).tolist() == [[0.25, 0.75]]


def test_no_rows_give_no_labels():
    assert soft_labels(torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 2), 5).shape == (0, 5)


GOOD = ([0, 1], [0.5, 0.5])


@pytest.mark.parametrize(
    ("ids", "weights", "message"),
    [
        ([0, 3], [0.5, 0.5], r"row 1 has 0, 3; class ids must be from 0 to 2"),
        ([-1, 2], [0.5, 0.5], r"row 1 has -1, 2; class ids"),
        ([0, 1], [1.5, -0.5], r"row 1 has 1.5, -0.5; weights must be finite and at least 0"),
        ([0, 1], [float("nan"), 1.0], r"row 1 has nan, 1; weights must be finite"),
        ([0, 1], [float("inf"), 0.0], r"row 1 has inf, 0; weights must be finite"),
        ([0, 1], [0.5, 0.50001], r"row 1 has .*; weights must sum to one within 1e-6"),
    ],
)
def test_the_first_row_at_fault_is_named(ids, weights, message):
    with pytest.raises(InputError, match=message + r".*Rows at fault: 2"):
        soft_labels(
            torch.tensor([GOOD[0], ids, ids]), torch.tensor([GOOD[1], weights, weights], dtype=torch.float64), 3
        )


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"class_ids has shape \(2, 2\) and weights has"):
        soft_labels(torch.zeros(2, 2, dtype=torch.int64), torch.full(shape, 0.5), 3)


def test_no_classes_are_refused():
    with pytest.raises(InputError, match="num_classes is 0; it must be at least 1"):
        soft_labels(torch.tensor([[0]]), torch.tensor([[1.0]]), 0)
