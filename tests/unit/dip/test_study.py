"""The study: its cells, what they measure, and what its report says."""

import json
import math

import pytest
import torch

from ncm_lib.dip import psnr
from ncm_lib.dip.study import Cell, CellResult, StudyConfig, best_of, cell_key, cells, damaged, run_cell
from ncm_lib.dip.study_report import gain, report, verdict
from ncm_lib.dip.write_up import write_up_protocol

QUICK = StudyConfig(widths=(4, 6), iterations=12, measure_every=5, window=3, patience=4)


@pytest.fixture
def clean() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    return (0.5 + 0.4 * torch.sin(x / 3 + y / 5)).expand(3, 16, 16).contiguous()


def result(image="a", arm="gaussian", seed=0, curve=(20.0, 22.0, 21.0), stopped=21.5, brightness=0.5) -> CellResult:
    return CellResult(
        cell=Cell(image=image, damage="noise-25", arm=arm, learning_rate=0.01, seed=seed),
        brightness=brightness, start_psnr=20.0, stopped_at=30, stopped_psnr=float(stopped), stopped_ssim=0.8,
        curve={"iteration": [20, 40, 60], "psnr": list(curve), "ssim": [0.7, 0.9, 0.8], "output_psnr": [1, 2, 3]},
        backtracks=0, seconds=1.0,
    )  # fmt: skip


def test_every_image_meets_every_arm_seed_after_seed():
    planned = cells(StudyConfig(seeds=2, arms=("gaussian", "fresh"), damages=("noise-25",)), ["a", "b"])
    assert [(one.seed, one.image, one.arm) for one in planned] == [
        (seed, image, arm) for seed in (0, 1) for image in "ab" for arm in ("gaussian", "fresh")
    ]


def test_the_damage_is_the_same_for_every_arm_and_another_for_every_seed(clean):
    noisy = [damaged("noise-25", clean, seed)[1] for seed in (0, 0, 1)]
    assert noisy[0].equal(noisy[1])
    assert not noisy[0].equal(noisy[2])
    masks = [damaged("inpaint-50", clean, seed)[2]["mask"] for seed in (0, 1)]
    assert not masks[0].equal(masks[1])


def test_damages_are_what_they_are_called():
    gray = torch.full((1, 200, 200), 0.5)
    assert float(damaged("noise-25", gray, 0)[1].std()) == pytest.approx(25 / 255, rel=0.02)
    task, image, options, start = damaged("inpaint-50", gray, 0)
    assert task == "inpaint"
    assert float(options["mask"].mean()) == pytest.approx(0.5, abs=0.01)
    assert start.allclose(gray)
    task, image, options, start = damaged("super-resolve-4", gray, 0)
    assert (task, image.shape, options, start.shape) == ("super-resolve", (1, 50, 50), {"factor": 4}, gray.shape)


@pytest.mark.parametrize("damage", ["noise-25", "inpaint-50", "super-resolve-4"])
def test_a_cell_measures_the_start_the_way_and_the_stop(damage, clean):
    cell = Cell(image="a", damage=damage, arm="ddpm-100", learning_rate=0.01, seed=1)
    found = run_cell(cell, clean.repeat(1, 2, 2), QUICK)
    assert found.curve["iteration"] == [5, 10, 12]
    assert 1 <= found.stopped_at <= 12
    assert all(0 < value < 60 for value in (found.stopped_psnr, found.start_psnr, *found.curve["psnr"]))
    assert found.start_psnr == psnr(damaged(damage, clean.repeat(1, 2, 2), 1)[3], clean.repeat(1, 2, 2))
    assert CellResult.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_cells_key_changes_with_all_that_its_numbers_depend_on(clean):
    cell = Cell(image="a", damage="noise-25", arm="fresh", learning_rate=0.01, seed=0)
    keys = [
        cell_key(cell, clean, QUICK),
        cell_key(cell, clean + 0.01, QUICK),
        cell_key(cell, clean, QUICK.model_copy(update={"iterations": 13})),
        cell_key(Cell(image="a", damage="noise-25", arm="fresh", learning_rate=0.01, seed=1), clean, QUICK),
        cell_key(Cell(image="a", damage="noise-25", arm="fresh", learning_rate=0.02, seed=0), clean, QUICK),
    ]
    assert len(set(keys)) == len(keys)
    # more seeds or arms leave what was done as it is
    assert cell_key(cell, clean, QUICK.model_copy(update={"seeds": 9, "arms": ("fresh",)})) == keys[0]


def test_the_best_point_is_that_of_the_highest_psnr():
    assert best_of(result()) == (40, 22.0, 0.9)


def test_gains_are_paired_by_image_and_seed_and_their_interval_is_over_images():
    found = [
        result("a", "gaussian", 0, stopped=20), result("a", "fresh", 0, stopped=21),
        result("a", "gaussian", 1, stopped=30), result("a", "fresh", 1, stopped=30),
        result("b", "gaussian", 0, stopped=25), result("b", "fresh", 0, stopped=26.5),
        result("c", "fresh", 0, stopped=99),
    ]  # fmt: skip
    mean, half = gain(found, "fresh", "stopped")
    assert mean == pytest.approx((0.5 + 1.5) / 2)
    # Student's t with one degree of freedom: 12.706
    assert half == pytest.approx(12.7062 * 2**-0.5 / 2**0.5, rel=1e-4)
    assert all(map(math.isnan, gain(found, "ddpm-50", "stopped")))


def test_the_verdict_follows_the_intervals():
    found = []
    for number, image in enumerate("abcd"):
        jitter = 0.01 * number
        found += [result(image, stopped=20), result(image, "fresh", stopped=19 + jitter),
                  result(image, "ddpm-50", stopped=21 + jitter),
                  result(image, "ddpm-500", stopped=20 + (-1) ** number)]  # fmt: skip
    line = verdict(found, ("gaussian", "fresh", "ddpm-50", "ddpm-500")).splitlines()[0]
    assert line.startswith("- against gaussian, stopped: better: ddpm-50 (+1.0")
    assert "; worse: fresh (-0.9" in line
    assert "; no clear difference: ddpm-500 (+0.00 ± " in line


def test_the_report_shows_sizes_means_brightness_and_rates():
    config = StudyConfig(arms=("gaussian", "fresh"), damages=("noise-25",), seeds=1, learning_rates=(0.01, 0.02))
    found = [result(image, arm, stopped=value, brightness=bright)
             for image, bright in (("a", 0.1), ("b", 0.2), ("c", 0.8), ("d", 0.9))
             for arm, value in (("gaussian", 21.0), ("fresh", 22.0 if bright < 0.5 else 20.0))]  # fmt: skip
    text = report(found, config, side=64, write_up=None)
    assert "4 images of 64 x 64 pixels, 1 seed; skip network of 3 scales (16 x 16 x 16 channels), 800" in text
    assert "| gaussian | 21.00, 0.800 | 22.00, 0.900 | 21.00, 0.800 | 40 | 30 | 1.0 |" in text
    assert "| fresh | +1.00 ± 0.00 | -1.00 ± 0.00 | +0.00 ± 0.00 | +0.00 ± 0.00 |" in text
    assert "a 0.10, b 0.20, c 0.80, d 0.90." in text
    assert "| fresh | 21.00 / 22.00 | nan / nan |" in text


def test_the_write_ups_protocol_leaks_the_image_and_its_ssim_is_blind(clean):
    image = clean[:1]
    leaked = write_up_protocol(image, fed="image", iterations=40)
    again = write_up_protocol(image, fed="image", iterations=40)
    assert leaked == again
    assert leaked.ssim_255 > 0.99
    assert leaked.ssim < 0.9
    assert leaked != write_up_protocol(image, fed="noise", iterations=40)


def test_the_curves_are_a_picture():
    from ncm_lib.dip.study_plot import draw_curves

    assert draw_curves([result(), result(arm="fresh")]).startswith(b"\x89PNG")
