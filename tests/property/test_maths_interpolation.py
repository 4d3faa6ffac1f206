"""Circle interpolation, the forward process and the DDIM step under any input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncm_lib.maths.interpolation import angle_between, circle_angle, circle_coefficients, circle_interpolate, slerp
from ncm_lib.maths.inversion import ddim_step
from ncm_lib.maths.rng import keyed_permutation
from ncm_lib.maths.schedules import LinearSchedule, ScaledLinearSchedule, forward_noise

DTYPES = {torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float32: 1e-5, torch.float64: 1e-10}
shares = st.floats(0, 1)
seeds = st.integers(0, 2**63 - 1)
schedules = st.sampled_from([LinearSchedule(), ScaledLinearSchedule()])


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norms(rows):
    return rows.double().flatten(1).norm(dim=1)


@given(st.floats(0.01, math.pi - 0.01), st.floats(0, 100))
def test_coefficients_keep_the_norm(alpha, lam):
    c_a, c_b = circle_coefficients(alpha, lam)
    scale = c_a**2 + c_b**2
    assert c_a**2 + c_b**2 + 2 * c_a * c_b * math.cos(alpha) == pytest.approx(1, abs=1e-11 * max(scale, 1))


RELATIONS = {
    "apart": lambda a, other, _: other,
    "identical": lambda a, _, __: a.clone(),
    "opposite": lambda a, _, __: -a,
    "near-parallel": lambda a, other, scale: a + scale * other,
    "near-opposite": lambda a, other, scale: -a + scale * other,
    "zero a": lambda a, other, _: other,
    "zero b": lambda a, _, __: torch.zeros_like(a),
    "both zero": lambda a, _, __: torch.zeros_like(a),
}


@given(
    st.sampled_from(sorted(RELATIONS)), st.sampled_from(list(DTYPES)), st.integers(0, 2**32), seeds, shares,
    st.sampled_from(["circle", "interpolation", "extrapolation"]), st.floats(-9, -1), st.booleans(),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_any_two_latents_interpolate_to_a_finite_one_of_their_norm(
    relation, dtype, draw, seed, u, arc, magnitude, match_norm
):
    a, other = drawn(draw, 2, 3, 8, 8), drawn(draw + 1, 2, 3, 8, 8)
    b = RELATIONS[relation](a, other, 10**magnitude).to(dtype)
    a = (torch.zeros_like(a) if relation in ("zero a", "both zero") else a).to(dtype)
    alpha = angle_between(a, b, seed=seed)
    assert ((alpha >= 0) & (alpha <= math.pi)).all()
    z = circle_interpolate(a, b, circle_angle(u, alpha, arc), match_norm=match_norm, seed=seed)
    assert z.dtype == dtype
    assert z.shape == a.shape
    assert torch.isfinite(z).all()
    if relation in ("zero a", "zero b", "both zero"):
        # Gaussian noise of 192 elements stands in: its norm is near sqrt(192)
        assert (norms(z) / math.sqrt(192) - 1).abs().max() < 0.3
        return
    low, high = torch.minimum(norms(a), norms(b)), torch.maximum(norms(a), norms(b))
    if not match_norm:
        low = high = norms(a)
    assert (norms(z) >= low * (1 - DTYPES[dtype])).all()
    assert (norms(z) <= high * (1 + DTYPES[dtype])).all()


@given(st.integers(0, 2**32), shares, st.sampled_from(list(DTYPES)))
@settings(max_examples=60, deadline=None)
def test_slerp_divides_the_angle(draw, fraction, dtype):
    a, b = drawn(draw, 2, 50).to(dtype), (2 * drawn(draw + 1, 2, 50)).to(dtype)
    z = slerp(a, b, fraction)
    tolerance = 10 * DTYPES[dtype]
    torch.testing.assert_close(angle_between(a, z), fraction * angle_between(a, b), rtol=0, atol=tolerance)
    torch.testing.assert_close(norms(z), torch.lerp(norms(a), norms(b), fraction), rtol=tolerance, atol=0)


@given(schedules, st.integers(0, 2**32), st.sampled_from([0, 1, 500, 998, 999]), st.sampled_from(list(DTYPES)))
@settings(max_examples=60, deadline=None)
def test_forward_noise_is_the_closed_form_from_the_first_timestep_to_the_last(schedule, draw, t, dtype):
    x0, noise = drawn(draw, 2, 3, 4).to(dtype), drawn(draw + 1, 2, 3, 4).to(dtype)
    left = 1.0
    for beta in schedule.beta[: t + 1].tolist():
        left *= 1 - beta
    expected = math.sqrt(left) * x0.double() + math.sqrt(1 - left) * noise.double()
    x_t = forward_noise(x0, t, noise=noise, schedule=schedule)
    assert x_t.dtype == dtype
    atol = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(x_t.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=atol)


@given(schedules, seeds, st.lists(st.integers(0, 999), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_a_row_of_forward_noise_does_not_depend_on_its_neighbours(schedule, seed, timesteps):
    x0 = drawn(0, 3, 2, 5)
    row_seeds = [seed, seed ^ 1, seed ^ 2]
    together = forward_noise(x0, torch.tensor(timesteps), seed=row_seeds, schedule=schedule)
    for row in range(3):
        alone = forward_noise(x0[row : row + 1], timesteps[row], seed=row_seeds[row : row + 1], schedule=schedule)
        assert torch.equal(alone[0], together[row])


@given(st.floats(0.004, 1), st.floats(0.004, 1), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_ddim_step_returns_on_itself_and_lands_on_the_forward_process(source, target, draw):
    x0, eps = drawn(draw, 10), drawn(draw + 1, 10)

    def at(level):
        return math.sqrt(level) * x0 + math.sqrt(1 - level) * eps

    torch.testing.assert_close(ddim_step(at(source), eps, source, target), at(target), rtol=0, atol=1e-12)
    back = ddim_step(ddim_step(x0, eps, source, target), eps, target, source)
    torch.testing.assert_close(back, x0, rtol=0, atol=1e-12)


@given(st.integers(1, 400), seeds, st.text("abc/_", max_size=9), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_any_keyed_permutation_is_one(size, seed, purpose, epoch):
    position = torch.arange(size).numpy()
    values = keyed_permutation(position, size, seed, purpose, position * 0 + epoch)
    assert sorted(values.tolist()) == list(range(size))
