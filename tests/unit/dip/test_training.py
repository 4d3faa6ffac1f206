"""The average of the outputs, and going back where training diverges."""

import math

import pytest
import torch
from torch import nn

from ncm_lib.dip.average import Average
from ncm_lib.dip.backtracking import Backtracking


def test_the_average_weighs_outputs_by_their_age_and_is_free_of_its_start():
    average, values = Average(0.9), torch.arange(1.0, 8.0)
    for value in values:
        average.add(value.expand(1, 1, 2, 2))
    weights = 0.9 ** torch.arange(6, -1, -1.0)
    assert average.value[0, 0, 1, 1].item() == pytest.approx(float((weights * values).sum() / weights.sum()), rel=1e-5)


def test_without_decay_it_is_the_last_output():
    average = Average(0.0)
    for value in (4.0, 3.0):
        average.add(torch.full((1, 1, 1, 1), value))
    assert average.value.item() == 3.0


class Training:
    """A layer of one weight, pushed by the gradient that a test gives it."""

    def __init__(self, loss="mse"):
        self.network = nn.Linear(1, 1, bias=False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.5)
        self.average = Average(0.5)
        self.back = Backtracking(self.network, self.optimizer, self.average, loss)
        self.iteration = 0

    def step(self, loss, gradient=1.0):
        self.iteration += 1
        self.network.weight.grad = torch.full((1, 1), gradient)
        stands = self.back.stands(self.iteration, loss)
        if stands:
            self.optimizer.step()
            self.average.add(self.network.weight.detach().reshape(1, 1, 1, 1))
        return stands

    def state(self):
        (moments,) = self.optimizer.state_dict()["state"].values()
        return [self.network.weight.item(), *(float(value) for value in moments.values()), self.average.value.item()]


def test_a_loss_that_is_not_finite_undoes_what_came_since_the_last_good_state():
    training = Training()
    for _ in range(50):
        training.step(1.0)
    # the 50th closed an interval: what it left is kept at the next look
    for _ in range(50):
        training.step(1.0)
    kept = training.back._kept
    weight = kept[0]["weight"].item()
    for _ in range(7):
        training.step(1.0)
    assert training.network.weight.item() != weight
    assert not training.step(math.nan)
    assert training.back.iterations == [108]
    assert training.network.weight.item() == weight
    assert training.optimizer.param_groups[0]["lr"] == 0.25
    assert not training.step(math.inf)
    assert training.optimizer.param_groups[0]["lr"] == 0.125


def test_going_back_gives_the_same_state_each_time():
    training = Training()
    for _ in range(60):
        training.step(1.0)
    training.step(math.nan)
    first = training.state()
    for _ in range(5):
        training.step(1.0, gradient=-3.0)
    assert training.state() != first
    training.step(math.nan)
    assert training.state() == first


@pytest.mark.parametrize(("loss", "fine", "worse"), [("mse", 3.1, 3.2), ("l1", 1.77, 1.79)])
def test_five_decibels_worse_is_diverging(loss, fine, worse):
    for factor, back in ((fine, []), (worse, [100])):
        training = Training(loss)
        for _ in range(50):
            training.step(1.0)
        for _ in range(50):
            training.step(factor)
        assert training.back.iterations == back


def test_a_few_high_losses_are_not():
    training = Training()
    for k in range(500):
        assert training.step(100.0 if k % 50 == 49 else 1.0)


def test_it_gives_up_after_ten_times():
    training = Training()
    for _ in range(50):
        training.step(1.0)
    for _ in range(10):
        training.step(math.nan)
    assert not training.back.is_hopeless
    training.step(math.nan)
    assert training.back.is_hopeless
