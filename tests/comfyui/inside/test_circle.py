"""Circle Interpolation: the library's plan and maths, from latents of a graph."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from harness.graph import Graph
from harness.internals import our_module
from torch import Tensor

SETTINGS = {"count": 5, "arc": "circle", "angle_from": "seed", "angle": 0.0, "seed": 3, "match_norm": False}


def latents(count: int, seed: int = 0, **others: Any) -> dict[str, Any]:
    return {"samples": torch.randn(count, 4, 6, 6, generator=torch.Generator().manual_seed(seed)), **others}


def circle(run_graph, a: dict[str, Any], b: dict[str, Any] | None = None, **changed: Any) -> Tensor:
    return whole(run_graph, a, b, **changed)["samples"]


def whole(run_graph, a: dict[str, Any], b: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    run = run_graph(graph(a, b, **changed))
    return run.captured["z"]


def graph(a: dict[str, Any], b: dict[str, Any] | None = None, **changed: Any) -> Graph:
    made = Graph()
    links = {"latent_a": made.add("NCMTest_Given", value=a)[0]}
    if b is not None:
        links["latent_b"] = made.add("NCMTest_Given", value=b)[0]
    made.capture("z", made.add("NCM_CircleInterpolation", **links, **{**SETTINGS, **changed})[0])
    return made


def norms(rows: Tensor) -> Tensor:
    return rows.double().flatten(1).norm(dim=1)


@pytest.mark.parametrize("arc", ["circle", "interpolation", "extrapolation"])
@pytest.mark.parametrize("match_norm", [False, True])
def test_a_batch_gives_points_between_pairs_at_the_places_that_the_library_draws(arc, match_norm, comfy, run_graph):
    maths, rng = (our_module(comfy, f"ncm_lib.maths.{name}") for name in ("interpolation", "rng"))
    images = latents(4)["samples"]
    found = circle(run_graph, latents(4), count=12, arc=arc, match_norm=match_norm)
    seeds, places = rng.sample_seeds(3, 0, 12).tolist(), rng.uniforms(3, "diff-ii", 0, 12, 3)[:, 0]
    used = []
    for row, seed, place in zip(found, seeds, places, strict=True):
        matches = []
        for first, second in itertools.permutations(range(4), 2):
            a, b = images[first][None], images[second][None]
            angle = maths.circle_angle(float(place), maths.angle_between(a, b), arc)
            expected = maths.circle_interpolate(a, b, angle, match_norm=match_norm, seed=[seed])[0]
            matches += [(first, second)] * torch.allclose(row, expected, rtol=0, atol=1e-6)
        assert len(matches) == 1
        used += matches
    epochs = [{frozenset(pair) for pair in used[start : start + 6]} for start in (0, 6)]
    assert [len(pairs) for pairs in epochs] == [6, 6], "each of the 6 pairs comes once before any comes again"
    assert len(set(used)) > 6, "either image may come first"


@pytest.mark.parametrize("angle", [0.0, 360.0])
def test_the_angles_0_and_360_are_image_a(angle, run_graph):
    a, b = latents(3), latents(3, seed=1)
    found = circle(run_graph, a, b, count=3, angle_from="angle", angle=angle)
    torch.testing.assert_close(found, a["samples"], rtol=0, atol=1e-5)


def test_a_right_angle_goes_away_from_image_b_and_keeps_the_length(run_graph):
    a, b = latents(2), latents(2, seed=1)
    found = circle(run_graph, a, b, count=2, angle_from="angle", angle=90.0)
    torch.testing.assert_close(norms(found), norms(a["samples"]), rtol=1e-6, atol=0)
    products = [(found * other["samples"]).sum((1, 2, 3)) for other in (a, b)]
    assert products[0].abs().max() < 1e-3
    assert (products[1] < 0).all()


def test_with_match_norm_the_circle_passes_through_image_b(run_graph):
    a, b = latents(1), {"samples": 2 * latents(1, seed=1)["samples"]}
    one, other = a["samples"].flatten().double(), b["samples"].flatten().double()
    alpha = math.degrees(math.acos(float(one @ other / one.norm() / other.norm())))
    place = {"count": 1, "angle_from": "angle", "angle": round(360 - alpha, 2)}
    torch.testing.assert_close(circle(run_graph, a, b, match_norm=True, **place), b["samples"], rtol=0, atol=1e-2)
    without = circle(run_graph, a, b, match_norm=False, **place)
    torch.testing.assert_close(norms(without), norms(a["samples"]), rtol=1e-6, atol=0)


def test_rows_go_with_rows_and_one_row_goes_with_all(run_graph):
    a, b = latents(3), latents(1, seed=1)
    fixed = {"angle_from": "angle", "angle": 60.0}
    found = circle(run_graph, a, b, count=5, **fixed)
    for row in range(5):
        alone = circle(run_graph, {"samples": a["samples"][row % 3][None]}, b, count=1, **fixed)
        assert torch.equal(found[row], alone[0])


def test_the_seed_draws_angles_and_pairs_and_more_samples_leave_the_first_ones_as_they_are(run_graph):
    for b in (None, latents(1, seed=1)):
        few, many, other = (circle(run_graph, latents(3), b, **changed)
                            for changed in ({"count": 2}, {"count": 6}, {"count": 6, "seed": 4}))  # fmt: skip
        assert torch.equal(many[:2], few)
        assert not torch.isclose(many, other, atol=1e-3).flatten(1).all(1).any()


def test_an_only_image_has_noise_of_the_seed_for_a_partner(comfy, run_graph):
    rng = our_module(comfy, "ncm_lib.maths.rng")
    expected = [rng.sample_noise(int(seed), (4, 6, 6)) for seed in rng.sample_seeds(3, 0, 5)]
    assert torch.equal(circle(run_graph, latents(1)), torch.stack(expected))


def test_identical_images_still_span_a_circle(run_graph):
    same = latents(1)
    found = circle(run_graph, same, same, count=3, angle_from="angle", angle=90.0)
    torch.testing.assert_close(norms(found), norms(same["samples"]).expand(3), rtol=1e-6, atol=0)
    assert (found[0] - found[1]).abs().max() > 0.1, "every sample has a plane of its own"


def test_what_a_latent_carries_goes_along_but_for_what_belongs_to_its_rows(run_graph):
    a = latents(2, batch_index=[4, 5], noise_mask=torch.ones(1, 48, 48), downscale_ratio_spacial=2)
    assert set(whole(run_graph, a)) == {"samples", "downscale_ratio_spacial"}


@pytest.mark.parametrize("shape", [(2, 4, 6, 7), (2, 16, 6, 6), (2, 4, 6, 6)])
def test_partners_that_do_not_fit_are_refused(shape, run_graph):
    failure = run_graph(graph(latents(3), {"samples": torch.ones(shape)}), check=False).failure
    assert failure is not None
    assert failure.exception_type.endswith(".InputError"), failure
    assert failure.message == (
        f"latent_a has the shape [3, 4, 6, 6] and latent_b has {list(shape)}; legal is the same shape, or one row of "
        "it for all. Invert both at one image size."
    )
