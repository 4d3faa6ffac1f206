"""`ncm dip`: restorations and the study, from files to files."""

import functools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib.cli.main import main

torch.set_num_threads(1)

QUICK = ["--iterations", "25", "--widths", "4", "6", "--every", "10"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """clean.png, noisy.png, mask.png, gray.png and small.png in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    y, x = np.mgrid[:24, :32]
    clean = 127 + 100 * np.sin(x[..., None] / 5 + y[..., None] / 7 + np.arange(3))
    Image.fromarray(clean.astype(np.uint8)).save("clean.png")
    Image.fromarray((clean + random.normal(0, 25, clean.shape)).clip(0, 255).astype(np.uint8)).save("noisy.png")
    Image.fromarray(clean[..., 0].astype(np.uint8)).save("gray.png")
    Image.fromarray((random.random((24, 32)) < 0.5).astype(np.uint8) * 255).save("mask.png")
    Image.fromarray(clean.astype(np.uint8)).resize((16, 12), Image.Resampling.BICUBIC).save("small.png")
    return tmp_path


def opened(name) -> Image.Image:
    with Image.open(name) as picture:
        picture.load()
    return picture


def record(files, name="noisy"):
    return json.loads((files / "out" / f"{name}.json").read_text())


def test_denoising_writes_the_result_the_strip_and_the_record(files, capsys):
    assert main(["dip", "denoise", "noisy.png", "--out", "out", "--clean", "clean.png", *QUICK]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["out/noisy.png"]
    assert "PSNR=" in shown.err
    assert "loss=" in shown.err
    assert sorted(path.name for path in (files / "out").iterdir()) == ["noisy-strip.png", "noisy.json", "noisy.png"]
    assert opened("out/noisy.png").size == (32, 24)
    # given, after 10 and 20, result
    assert opened("out/noisy-strip.png").size == (4 * 36 - 4, 24)
    found = record(files)
    assert found["task"] == "denoise"
    assert found["config"]["network"]["widths"] == [4, 6]
    assert [quality["iteration"] for quality in found["history"]["quality"]] == [10, 20, 25]
    assert len(found["history"]["loss"]) == found["stopped_at"] == 25
    assert found["history"]["variance"] == [None] * 25


def test_a_gray_image_stays_gray_and_the_seed_fixes_it(files):
    pictures = []
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["dip", "denoise", "gray.png", "--out", out, "--seed", seed, *QUICK]) == 0
        pictures.append(opened(f"{out}/gray.png"))
    assert pictures[0].mode == "L"
    assert pictures[0].tobytes() == pictures[1].tobytes() != pictures[2].tobytes()


def test_inpainting_keeps_what_the_mask_leaves(files):
    assert main(["dip", "inpaint", "clean.png", "--mask", "mask.png", "--out", "out", *QUICK]) == 0
    known = np.asarray(opened("mask.png")) == 0
    before, after = (np.asarray(opened(name)) for name in ("clean.png", "out/clean.png"))
    np.testing.assert_array_equal(after[known], before[known])
    assert (after[~known] != before[~known]).mean() > 0.5


def test_super_resolution_and_reconstruction(files):
    assert main(["dip", "superres", "small.png", "--factor", "2", "--clean", "clean.png", "--out", "out", *QUICK]) == 0
    assert opened("out/small.png").size == (32, 24)
    options = ["--input", "ddpm", "--t", "0", "500", "--network", "unet", "--loss", "l1", "--keep-pictures"]
    assert main(["dip", "reconstruct", "clean.png", "noisy.png", "--out", "out", *QUICK, *options]) == 0
    assert record(files, "clean")["config"]["input"]["t"] == [0, 500]
    assert record(files)["config"]["network"] == {"kind": "unet", "widths": [4, 6]}
    assert {path.name for path in (files / "out").glob("noisy-0*")} == {"noisy-000010.png", "noisy-000020.png"}


@pytest.mark.parametrize(
    ("kind", "mode"), [("RGBA", "L"), ("I;16", "L"), ("P", "L"), ("LA", "L")], ids=["alpha", "16 bit", "palette", "la"]
)
def test_files_of_other_kinds_are_read(kind, mode, files):
    wide = np.linspace(0, 65535 if kind == "I;16" else 255, 100).reshape(10, 10)
    picture = Image.fromarray(wide.astype(np.uint16 if kind == "I;16" else np.uint8))
    (picture if kind == "I;16" else picture.convert(kind)).save("odd.png")
    assert main(["dip", "denoise", "odd.png", "--out", "out", *QUICK]) == 0
    assert opened("out/odd.png").mode == mode


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["denoise", "--out", "o"], "No image came; name one at least."),
        (["denoise", "tiny.png", "--out", "o"], "at least one of 8 x 8 pixels is needed"),
        (["denoise", "a.txt", "--out", "o"], "a.txt is not a JPEG, PNG"),
        (["denoise", "none.png", "--out", "o"], "none.png cannot be read"),
        (["denoise", "clean.png", "b/clean.png", "--out", "o"], "Several images are called 'clean'"),
        (["denoise", "clean.png", "--out", "o", "--t", "1", "2", "3"], "--t got 3 numbers"),
        (["denoise", "clean.png", "--out", "o", "--t", "1000"], "timesteps are from 0 to 999, the lower one first"),
        (["denoise", "clean.png", "--out", "o", "--every", "0"], "--every is 0; legal is 1 or more."),
        (["denoise", "clean.png", "--out", "o", "--clean", "a", "b"], "1 image came with 0 masks and 2 clean images"),
        (["inpaint", "clean.png", "--out", "o", "--mask", "white.png"], "A mask covers the whole image"),
        (["inpaint", "clean.png", "--out", "o", "--mask", "small.png"], "the mask needs their height and width"),
        (["superres", "small.png", "--out", "o", "--clean", "small.png"], "clean image has the shape [3, 12, 16]"),
        (["study", "--out", "o"], "No image came; name one clean photograph at least."),
        (["study", "clean.png", "--out", "o", "--side", "18"], "--side is 18; legal is a multiple of 4 from 16 on."),
        (["study", "clean.png", "--out", "o", "--side", "64"], "An image has 32 x 24 pixels; 64 per side are needed."),
        (["study", "clean.png", "--out", "o", "--arms", "ddpm-7"], "--arms-0 got 'ddpm-7'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(words, message, files, capsys):
    Image.new("RGB", (7, 8)).save("tiny.png")
    Image.new("L", (32, 24), 255).save("white.png")
    (files / "a.txt").write_text("text")
    if words[0] == "study":
        words = [*words, "--no-curves"]
    assert main(["dip", *words]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ncm: ")]
    assert len(said) == 1
    assert message in said[0]


def test_an_interrupted_run_leaves_earlier_results(files, capsys, monkeypatch):
    from ncm_lib.cli import dip_run

    class Stopped(dip_run._Film):
        def __call__(self, step):
            super().__call__(step)
            if self._name == "noisy" and step.iteration == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr(dip_run, "_Film", Stopped)
    assert main(["dip", "denoise", "clean.png", "noisy.png", "--out", "out", *QUICK]) == 130
    assert "ncm: interrupted; 1 of 2 images restored; noisy would begin anew" in capsys.readouterr().err
    assert {path.name for path in (files / "out").glob("*.png")} == {"clean.png", "clean-strip.png"}


STUDY = ["dip", "study", "clean.png", "gray.png", "--out", "out", "--side", "16", "--arms", "gaussian", "ddpm-100",
         "--damages", "noise-25", "--iterations", "20", "--widths", "4", "--no-write-up", "--no-curves"]  # fmt: skip


def test_the_study_is_resumed_and_extended(files, capsys):
    assert main([*STUDY, "--seeds", "1"]) == 0
    cells = {path: path.stat().st_mtime_ns for path in (files / "out" / "cells").iterdir()}
    assert len(cells) == 4
    torn = next(iter(cells))
    before = json.loads(torn.read_text())
    torn.write_text("{")
    assert main([*STUDY, "--seeds", "2"]) == 0
    after = {path: path.stat().st_mtime_ns for path in (files / "out" / "cells").iterdir()}
    assert len(after) == 8
    assert [path for path in cells if after[path] != cells[path]] == [torn]
    again = json.loads(torn.read_text())
    assert {**again, "seconds": 0} == {**before, "seconds": 0}
    assert "report.md" in capsys.readouterr().out
    text = (files / "out" / "report.md").read_text()
    assert "2 images of 16 x 16 pixels, 2 seeds" in text
    assert "| ddpm-100 |" in text
    assert len(json.loads((files / "out" / "results.json").read_text())["cells"]) == 8


def test_the_study_shows_the_write_ups_protocol_beside(files, monkeypatch):
    from ncm_lib.cli import dip_study_run

    short = functools.partial(dip_study_run.write_up_protocol, iterations=3)
    monkeypatch.setattr(dip_study_run, "write_up_protocol", short)
    words = [word for word in STUDY if word not in ("--no-write-up", "gray.png")]
    assert main([*words, "--seeds", "1"]) == 0
    text = (files / "out" / "report.md").read_text()
    assert "| the clean image on its way to noise |" in text
    assert "SSIM, data_range 255 |" in text
