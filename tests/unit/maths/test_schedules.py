"""Noise schedules and the forward process: golden numbers, the closed form, and diffusers as the oracle."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from ncm_lib.errors import InputError
from ncm_lib.maths.rng import sample_noise, sample_seeds
from ncm_lib.maths.schedules import LinearSchedule, ScaledLinearSchedule, forward_noise

SCHEDULES = {
    "linear": (LinearSchedule(), {"beta_start": 1e-4, "beta_end": 0.02}),
    "scaled_linear": (ScaledLinearSchedule(), {"beta_start": 0.00085, "beta_end": 0.012}),
}


@pytest.mark.parametrize(
    ("schedule", "t", "expected"),
    [
        (LinearSchedule(), 0, "0.9999000000"),
        (LinearSchedule(), 1, "0.999780092072"),
        (LinearSchedule(), 100, "0.895141590898"),
        (LinearSchedule(), 500, "0.077796658365"),
        (LinearSchedule(), 999, "4.03582976538e-05"),
        (ScaledLinearSchedule(), 0, "0.9991500000"),
        (ScaledLinearSchedule(), 1, "0.9982960278"),
        (ScaledLinearSchedule(), 500, "0.2763326838"),
        (ScaledLinearSchedule(), 999, "0.0046600985"),
    ],
)
def test_golden_alpha_bar(schedule, t, expected):
    assert schedule.alpha_bar.dtype == torch.float64
    assert schedule.alpha_bar.shape == (1000,)
    half_of_the_last_digit = 0.51 * 10.0 ** Decimal(expected).as_tuple().exponent
    assert float(schedule.alpha_bar[t]) == pytest.approx(float(expected), rel=0, abs=half_of_the_last_digit)


def test_half_of_the_signal_is_gone_at_259_steps_of_ddpm():
    below = (LinearSchedule().alpha_bar < 0.5).nonzero()
    assert int(below[0]) == 259


@pytest.mark.parametrize("name", SCHEDULES)
def test_alpha_bar_is_the_alphas_cumprod_of_diffusers(name):
    schedule, betas = SCHEDULES[name]
    stock = DDPMScheduler(beta_schedule=name, num_train_timesteps=1000, **betas)
    torch.testing.assert_close(schedule.alpha_bar.float(), stock.alphas_cumprod, rtol=2e-5, atol=0)


def test_betas_run_from_start_to_end_for_other_lengths():
    for schedule in (LinearSchedule(0.1, 0.2, 5), ScaledLinearSchedule(0.1, 0.2, 5)):
        assert len(schedule.alpha_bar) == 5
        assert float(schedule.beta[0]) == pytest.approx(0.1)
        assert float(schedule.beta[-1]) == pytest.approx(0.2)


@pytest.mark.parametrize("betas", [(0.0, 0.02), (0.02, 0.01), (0.01, 1.0), (float("nan"), 0.02), (0.01, float("nan"))])
@pytest.mark.parametrize("kind", [LinearSchedule, ScaledLinearSchedule])
def test_betas_that_make_no_schedule_are_refused(kind, betas):
    with pytest.raises(InputError, match="0 < beta_start <= beta_end < 1"):
        kind(*betas)


def test_a_schedule_without_steps_is_refused():
    with pytest.raises(InputError, match="num_train_timesteps is 0; it must be at least 1"):
        LinearSchedule(num_train_timesteps=0)


@pytest.mark.parametrize(("t", "expected"), [(0, 0.5099749994), (100, 0.7968780950), (500, 1.0997744507)])
def test_golden_forward_noise(t, expected):
    x0 = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    x_t = forward_noise(x0, t, noise=torch.ones_like(x0), schedule=LinearSchedule())
    torch.testing.assert_close(x_t, torch.full_like(x0, expected), rtol=0, atol=5e-11)


@pytest.mark.parametrize("name", SCHEDULES)
def test_forward_noise_is_the_add_noise_of_diffusers(name):
    schedule, betas = SCHEDULES[name]
    stock = DDPMScheduler(beta_schedule=name, num_train_timesteps=1000, **betas)
    t = torch.tensor([0, 1, 250, 500, 998, 999])
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(6, 4, 5, 3, generator=generator) for _ in range(2))
    expected = stock.add_noise(x0, noise, t)
    torch.testing.assert_close(forward_noise(x0, t, noise=noise, schedule=schedule), expected, rtol=0, atol=1e-5)


def test_one_timestep_serves_all_samples():
    x0 = torch.randn(3, 4)
    one = forward_noise(x0, 7, seed=1, schedule=LinearSchedule())
    assert torch.equal(one, forward_noise(x0, torch.tensor([7, 7, 7]), seed=1, schedule=LinearSchedule()))


def test_noise_from_a_seed_is_the_noise_of_each_row():
    x0, seeds = torch.zeros(3, 4, 2), sample_seeds(5, 0, 3)
    noise = torch.stack([sample_noise(int(seed), (4, 2)) for seed in seeds])
    expected = forward_noise(x0, 9, noise=noise, schedule=LinearSchedule())
    assert torch.equal(forward_noise(x0, 9, seed=5, schedule=LinearSchedule()), expected)
    alone = forward_noise(x0[2:], 9, seed=[int(seeds[2])], schedule=LinearSchedule())
    assert torch.equal(alone, expected[2:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_last_timestep_keeps_its_trace_of_the_signal_in_every_dtype(dtype):
    x0 = torch.full((1, 2), 100.0, dtype=dtype)
    x_t = forward_noise(x0, 999, noise=torch.zeros_like(x0), schedule=LinearSchedule())
    assert x_t.dtype == dtype
    expected = 100 * math.sqrt(4.03582976538e-05)
    np.testing.assert_allclose(x_t.double(), expected, rtol=max(torch.finfo(dtype).eps, 1e-10))


X0 = torch.zeros(2, 4)


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs noise or seed, and only one of them"),
        ({"seed": 1, "noise": X0}, "needs noise or seed, and only one of them"),
        ({"noise": torch.zeros(2, 5)}, r"does not have the shape of x0, \(2, 4\)"),
        ({"seed": 1, "t": 1000}, "t runs from 1000 to 1000; timesteps of this schedule are 0 to 999"),
        ({"seed": 1, "t": torch.tensor([5, -1])}, "t runs from -1 to 5"),
        ({"seed": 1, "t": torch.tensor([5, 5, 5])}, "3 timesteps came for 2 samples"),
        ({"seed": [1]}, "1 seeds came for 2 rows"),
    ],
)
def test_what_cannot_be_noised_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        forward_noise(X0, **({"t": 0, "schedule": LinearSchedule()} | arguments))
