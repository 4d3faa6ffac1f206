"""Circle interpolation: golden coefficients, both ends of every arc, and the fallbacks."""

import math

import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.interpolation import angle_between, circle_angle, circle_coefficients, circle_interpolate, slerp
from ncm_lib.maths.rng import sample_seeds

ARCS = ["circle", "interpolation", "extrapolation"]


def latents(count=3, seed=0, dtype=torch.float64):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def norms(rows):
    return rows.double().flatten(1).norm(dim=1)


def to_norm_of(rows, other):
    return rows * (norms(other) / norms(rows)).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("alpha", "lam", "expected"),
    [
        (math.pi / 2, 0, (1, 0)),
        (math.pi / 2, 0.5, (0.70710678, -0.70710678)),
        (math.pi / 2, 1, (0, -1)),
        (math.pi / 2, 3.5, (0.70710678, 0.70710678)),
        (math.pi / 3, 0.25, (1.115355071650, -0.298858490723)),
    ],
)
def test_golden_coefficients(alpha, lam, expected):
    assert circle_coefficients(alpha, lam) == pytest.approx(expected, abs=5e-9 if alpha > 1.5 else 5e-13)


@pytest.mark.parametrize(
    ("alpha", "lam"), [(0.0, 1.0), (math.pi, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))]
)
def test_coefficients_of_parallel_vectors_are_refused(alpha, lam):
    with pytest.raises(InputError, match="alpha must be between 0 and pi"):
        circle_coefficients(alpha, lam)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0, 2.5])
def test_the_stable_form_is_equation_5_where_the_norms_agree(lam):
    a = latents()
    b = to_norm_of(latents(seed=1), a)
    alpha = angle_between(a, b)
    for row in range(len(a)):
        c_a, c_b = circle_coefficients(float(alpha[row]), lam)
        z = circle_interpolate(a[row : row + 1], b[row : row + 1], lam * float(alpha[row]))
        torch.testing.assert_close(z[0], c_a * a[row] + c_b * b[row], rtol=0, atol=1e-12)


def test_the_angle_is_that_of_the_arc_cosine():
    a, b = latents(), latents(seed=1) + latents()
    cosine = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))
    torch.testing.assert_close(angle_between(a, b), torch.arccos(cosine), rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, math.pi / 2, math.pi - 1e-6, math.pi])
def test_small_and_straight_angles_are_resolved(angle):
    a = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    assert angle_between(a, b).item() == pytest.approx(angle, abs=1e-15)


@pytest.mark.parametrize(
    ("arc", "begin", "end"), [("circle", "a", "a"), ("interpolation", "b", "a"), ("extrapolation", "a", "b")]
)
@pytest.mark.parametrize("match_norm", [False, True])
def test_every_arc_begins_and_ends_where_it_says(arc, begin, end, match_norm):
    a, b = latents(), 3 * latents(seed=1)
    ends = {"a": a, "b": b if match_norm else to_norm_of(b, a)}
    alpha = angle_between(a, b)
    for u, expected in ((0.0, ends[begin]), (1.0, ends[end])):
        z = circle_interpolate(a, b, circle_angle(u, alpha, arc), match_norm=match_norm)
        torch.testing.assert_close(z, expected, rtol=0, atol=1e-9)


def test_interpolation_lies_between_and_extrapolation_beyond():
    a, b = latents(), latents(seed=1)
    alpha = angle_between(a, b)
    between = circle_interpolate(a, b, circle_angle(0.25, alpha, "interpolation"))
    torch.testing.assert_close(angle_between(between, a), 0.75 * alpha)
    torch.testing.assert_close(angle_between(between, b), 0.25 * alpha)
    beyond = circle_interpolate(a, b, circle_angle(0.1, alpha, "extrapolation"))
    torch.testing.assert_close(angle_between(beyond, a), 0.1 * (2 * math.pi - alpha))
    assert (angle_between(beyond, b) > alpha).all()


@pytest.mark.parametrize(
    ("u", "alpha", "arc", "expected"),
    [
        (0.25, 1.0, "circle", math.pi / 2),
        (0.5, 1.0, "extrapolation", math.pi - 0.5),
        (0.5, 1.0, "interpolation", 2 * math.pi - 0.5),
    ],
)
def test_circle_angle_of_each_arc(u, alpha, arc, expected):
    assert circle_angle(u, alpha, arc).item() == pytest.approx(expected)
    assert circle_angle(u, torch.tensor([alpha, alpha]), arc).tolist() == pytest.approx([expected] * 2)
    assert circle_angle(torch.tensor([u, u], dtype=torch.float64), alpha, arc).tolist() == pytest.approx([expected] * 2)


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize(
    ("u", "alpha", "arc", "message"),
    [
        (-0.1, 1.0, "circle", "u must be from 0 to 1"),
        (1.1, 1.0, "circle", "u must be from 0 to 1"),
        (float("nan"), 1.0, "circle", "u must be from 0 to 1"),
        (0.5, 3.2, "circle", "from 0 to pi"),
        (0.5, 1.0, "short", "arc is 'short'; take one of: circle, interpolation, extrapolation"),
    ],
)
def test_an_angle_that_cannot_be_is_refused(u, alpha, arc, message):
    with pytest.raises(InputError, match=message):
        circle_angle(u, alpha, arc)


@pytest.mark.parametrize("u", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("arc", ARCS)
def test_matched_norms_stay_between_the_two(u, arc):
    a, b = latents(), 3 * latents(seed=1)
    alpha = angle_between(a, b)
    z = norms(circle_interpolate(a, b, circle_angle(u, alpha, arc), match_norm=True))
    low, high = torch.minimum(norms(a), norms(b)), torch.maximum(norms(a), norms(b))
    assert ((z >= low - 1e-9) & (z <= high + 1e-9)).all()
    same = norms(circle_interpolate(a, b, circle_angle(u, alpha, arc)))
    torch.testing.assert_close(same, norms(a))


PARALLEL = {
    "identical": lambda a: a.clone(),
    "opposite": lambda a: -a,
    "scaled": lambda a: 2 * a,
    "near-parallel": lambda a: a + 1e-6 * a.flip(1),
    "near-opposite": lambda a: -a + 1e-6 * a.flip(1),
}


@pytest.mark.parametrize("match_norm", [False, True])
@pytest.mark.parametrize("case", PARALLEL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_parallel_latents_turn_in_a_random_plane(case, match_norm, dtype):
    a = latents(dtype=dtype)
    b = PARALLEL[case](a)
    z = circle_interpolate(a, b, math.pi / 2, match_norm=match_norm, seed=4)
    assert z.dtype == dtype
    assert torch.isfinite(z).all()
    largest = torch.maximum(norms(a), norms(b))
    assert (norms(z) <= largest * 1.001).all()
    assert (norms(z) >= norms(a) * 0.999).all()
    torch.testing.assert_close(
        angle_between(z, a), torch.full((3,), math.pi / 2, dtype=torch.float64), rtol=0, atol=1e-3
    )
    other = circle_interpolate(a, b, math.pi / 2, match_norm=match_norm, seed=5)
    assert not torch.allclose(z, other)


def test_a_fallback_does_not_depend_on_the_slot():
    a = latents(5)
    a[3] = 0
    b = a.clone()
    b[1] = 0
    seeds = sample_seeds(9, 100, 105)
    together = circle_interpolate(a, b, 1.0, seed=seeds)
    for row in (4, 3, 1, 0):
        alone = circle_interpolate(a[row : row + 1], b[row : row + 1], 1.0, seed=seeds[row : row + 1])
        assert torch.equal(alone[0], together[row])
    order = [4, 2, 0, 1, 3]
    assert torch.equal(circle_interpolate(a[order], b[order], 1.0, seed=seeds[order]), together[order])


def test_a_zero_latent_becomes_gaussian_noise_of_its_seed():
    a, b = torch.zeros(2, 4, 16, 16), latents(2, dtype=torch.float32).repeat(1, 1, 2, 2)
    z = circle_interpolate(a, b, 0.0, seed=[1, 2])
    assert (z.flatten(1).std(dim=1) - 1).abs().max() < 0.1
    assert not torch.equal(z[0], z[1])
    assert (angle_between(a, b, seed=[1, 2]) - math.pi / 2).abs().max() < 0.2
    both = circle_interpolate(a, a, circle_angle(0.5, angle_between(a, a), "interpolation"))
    assert torch.isfinite(both).all()
    assert (both.flatten(1).std(dim=1) - 1).abs().max() < 0.1


def test_well_apart_latents_need_no_seed():
    a, b = latents(), latents(seed=1)
    assert torch.equal(circle_interpolate(a, b, 1.0, seed=0), circle_interpolate(a, b, 1.0, seed=1))


def test_one_angle_for_all_equals_the_angle_of_each():
    a, b = latents(), latents(seed=1)
    angles = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    each = circle_interpolate(a, b, angles)
    for row, angle in enumerate(angles.tolist()):
        torch.testing.assert_close(circle_interpolate(a, b, angle)[row], each[row], rtol=0, atol=0)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_slerp_is_the_formula_of_shoemake_where_the_norms_agree(fraction):
    a = latents()
    b = to_norm_of(latents(seed=1), a)
    alpha = angle_between(a, b).reshape(-1, 1, 1, 1)
    expected = (torch.sin((1 - fraction) * alpha) * a + torch.sin(fraction * alpha) * b) / torch.sin(alpha)
    torch.testing.assert_close(slerp(a, b, fraction), expected, rtol=0, atol=1e-12)


def test_slerp_is_the_interpolation_arc_walked_backwards():
    a, b = latents(), 3 * latents(seed=1)
    angle = circle_angle(0.75, angle_between(a, b), "interpolation")
    torch.testing.assert_close(slerp(a, b, 0.25), circle_interpolate(a, b, angle, match_norm=True))


def test_slerp_has_the_norm_of_its_share():
    a, b = latents(), 3 * latents(seed=1)
    shares = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    torch.testing.assert_close(norms(slerp(a, b, shares)), torch.lerp(norms(a), norms(b), shares))


@pytest.mark.parametrize("case", ["identical", "scaled", "near-parallel"])
def test_slerp_of_near_parallel_latents_is_the_straight_line(case):
    a = latents()
    b = PARALLEL[case](a)
    torch.testing.assert_close(slerp(a, b, 0.3), 0.7 * a + 0.3 * b)


@pytest.mark.parametrize("case", ["opposite", "near-opposite"])
def test_slerp_of_opposite_latents_keeps_both_ends(case):
    a = latents()
    b = PARALLEL[case](a)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    assert (norms(slerp(a, b, 1.0) - b) <= 2e-4 * norms(b)).all()
    torch.testing.assert_close(norms(slerp(a, b, 0.5)), norms(a), rtol=1e-5, atol=0)


GOOD = torch.ones(2, 4)


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize("function", [circle_interpolate, slerp])
@pytest.mark.parametrize(
    ("a", "b", "angle", "message"),
    [
        (GOOD, torch.ones(2, 5), 0.5, r"shapes \(2, 4\) and \(2, 5\)"),
        (torch.ones(4), torch.ones(4), 0.5, "one sample per row"),
        (torch.ones(2, 1), torch.ones(2, 1), 0.5, "1 element each; a circle needs at least 2"),
        (GOOD, GOOD * float("nan"), 0.5, "NaN or infinite values"),
        (GOOD * float("inf"), GOOD, 0.5, "NaN or infinite values"),
        (GOOD, GOOD, float("nan"), "give a finite number"),
        (GOOD, GOOD, torch.ones(3), "has 3 values; .*each of the 2 rows"),
    ],
)
def test_latents_that_span_no_circle_are_refused(function, a, b, angle, message):
    with pytest.raises(InputError, match=message):
        function(a, b, angle)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_slerp_does_not_leave_its_arc(fraction):
    with pytest.raises(InputError, match=r"outside \[0, 1\]; slerp stays between"):
        slerp(GOOD, GOOD, fraction)
