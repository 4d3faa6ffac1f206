"""The DDIM step: golden numbers, diffusers as the oracle, and the way there and back."""

import pytest
import torch
from diffusers import DDIMScheduler

from ncm_lib.errors import InputError
from ncm_lib.maths.inversion import ddim_step
from ncm_lib.maths.schedules import ScaledLinearSchedule

X = torch.tensor([0.5], dtype=torch.float64)
EPS = torch.tensor([-0.25], dtype=torch.float64)


@pytest.mark.parametrize(("source", "target", "expected"), [(0.9, 0.8, 0.434136721166), (0.8, 0.9, 0.569858556642)])
def test_golden_step(source, target, expected):
    assert ddim_step(X, EPS, source, target).item() == pytest.approx(expected, abs=5e-13)


@pytest.mark.parametrize("levels", [(0.9, 0.8), (1.0, 0.0046), (0.999, 0.2763)])
def test_there_and_back_with_the_same_noise_is_exact(levels):
    back = ddim_step(ddim_step(X, EPS, *levels), EPS, *reversed(levels))
    assert back.item() == pytest.approx(0.5, abs=1e-14)


@pytest.mark.parametrize("index", [0, 1, 12, 23, 24])
def test_it_is_the_step_of_diffusers(index):
    stock = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        set_alpha_to_one=False, timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip
    stock.set_timesteps(25)
    generator = torch.Generator().manual_seed(index)
    x, eps = (torch.randn(2, 4, 3, 5, generator=generator) for _ in range(2))
    t = int(stock.timesteps[index])
    expected = stock.step(eps, t, x).prev_sample
    alpha_bar = ScaledLinearSchedule().alpha_bar
    ours = ddim_step(x, eps, alpha_bar[t], alpha_bar[max(t - 40, 0)])
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5)


def test_a_whole_inversion_meets_the_whole_sampling():
    alpha_bar = ScaledLinearSchedule().alpha_bar[::40].tolist()
    eps = [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(len(alpha_bar) - 1)]
    x = start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(99))
    for k, noise in enumerate(eps):
        x = ddim_step(x, noise, alpha_bar[k], alpha_bar[k + 1])
    for k, noise in reversed(list(enumerate(eps))):
        x = ddim_step(x, noise, alpha_bar[k + 1], alpha_bar[k])
    torch.testing.assert_close(x, start, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_stays(dtype):
    assert ddim_step(X.to(dtype), EPS.to(dtype), torch.tensor(0.9), 0.8).dtype == dtype


@pytest.mark.parametrize("levels", [(0.0, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, 1.1), (float("nan"), 0.5)])
def test_a_level_off_the_range_is_refused(levels):
    with pytest.raises(InputError, match=r"alpha_bar goes from .*share of signal left"):
        ddim_step(X, EPS, *levels)


@pytest.mark.usefixtures("as_in_production")
def test_shapes_do_not_broadcast():
    with pytest.raises(InputError, match="they must agree"):
        ddim_step(torch.ones(2, 4), torch.ones(1, 4), 0.9, 0.8)
