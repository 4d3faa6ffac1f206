"""The windowed variance, and when it ends a run."""

import math

import pytest
import torch

from ncm_lib.dip import StoppingConfig
from ncm_lib.dip.stopping import WindowedVariance


def outputs(count: int, size: int, spread: float = 1.0) -> torch.Tensor:
    return 0.5 + spread * torch.randn(count, size, generator=torch.Generator().manual_seed(0))


def test_it_is_the_variance_of_the_last_outputs():
    values = outputs(30, 50, 0.01)
    watch = WindowedVariance(StoppingConfig(window=7), 50, seed=0)
    seen = [watch.add(value) for value in values]
    assert all(map(math.isnan, seen[:6]))
    for k in range(6, 30):
        expected = values[k - 6 : k + 1].double().var(0, correction=0).mean()
        assert seen[k] == pytest.approx(float(expected), rel=1e-9), f"differs at output {k}"


def test_nothing_is_left_of_outputs_that_left_the_window():
    watch = WindowedVariance(StoppingConfig(window=3), 4, seed=0)
    for value in outputs(5000, 4, 100.0):
        watch.add(value)
    assert [watch.add(torch.full((4,), 0.1)) for _ in range(3)][-1] < 1e-9


def test_of_large_outputs_a_part_is_watched_that_stands_for_all():
    values = outputs(20, 40_000, 0.01)
    watch = WindowedVariance(StoppingConfig(window=20), 40_000, seed=3)
    variance = [watch.add(value) for value in values][-1]
    assert variance == pytest.approx(float(values.double().var(0, correction=0).mean()), rel=0.02)


def test_patience_counts_from_the_lowest_variance():
    watch = WindowedVariance(StoppingConfig(window=2, patience=3), 1, seed=0)
    steps = [5.0, 3.0, 1.0, 0.5, 2.0, 2.1, 9.0]
    places, over, value = [], [], 0.0
    for step in [0.0, *steps]:
        value += step
        watch.add(torch.tensor([value]))
        places.append(watch.lowest_at)
        over.append(watch.patience_is_over)
    # outputs counted from 1; the window of the 5th spans the smallest step
    assert places == [0, 2, 3, 4, 5, 5, 5, 5]
    assert over == [False] * 7 + [True]


def test_a_minimum_in_the_last_moment_counts_and_one_after_it_does_not():
    def lowest_after(steps: list[float]) -> int:
        watch = WindowedVariance(StoppingConfig(window=2, patience=2), 1, seed=0)
        value = 0.0
        for step in [0.0, *steps]:
            value += step
            watch.add(torch.tensor([value]))
        return watch.lowest_at

    assert lowest_after([3.0, 4.0, 2.0]) == 4
    assert lowest_after([3.0, 4.0, 5.0, 1.0]) == 2
