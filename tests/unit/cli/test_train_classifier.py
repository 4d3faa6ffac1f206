"""``ncm train-classifier`` in process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main


@pytest.fixture
def birds(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in ("robin", "wren"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def run(*words):
    try:
        return main(["train-classifier", *(str(word) for word in words)])
    except SystemExit as leaving:
        return leaving.code


def test_a_training_says_what_it_found_and_where(birds, capsys):
    words = ["--data", birds / "train", "--test", birds / "test", "--out", birds / "out", "--device", "cpu"]
    words += ["--model", "resnet-32px", "--resolution", 16, "--epochs", 2, "--batch-size", 4, "--flip", True]
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert "6 real and 0 synthetic images" in text
    assert "test: " in text
    config = json.loads((birds / "out" / "training.json").read_text())["config"]
    assert (config["epochs"], config["flip"], config["optimizer"]) == (2, True, "adam")


def test_a_protocol_fills_in_what_is_not_given(birds):
    words = ["--data", birds / "train", "--out", birds / "out", "--device", "cpu", "--protocol", "diff-ii"]
    words += ["--model", "resnet-32px", "--resolution", 16, "--resize", 16, "--epochs", 1, "--batch-size", 4]
    assert run(*words) == 0
    config = json.loads((birds / "out" / "training.json").read_text())["config"]
    assert (config["optimizer"], config["label_smoothing"], config["batch_size"]) == ("sgd", 0.1, 4)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--epochs", "0"], "epochs"),
        (["--pixel", "cutmixx"], "cutmixx"),
        (["--test", "nowhere"], "nowhere"),
        (["--synthetic", "nowhere"], "nowhere is no data set"),
        (["--learning-rate", "nan"], "learning"),
    ],
)
def test_bad_input_is_one_message(birds, capsys, words, part):
    good = ["--data", birds / "train", "--out", birds / "out", "--model", "resnet-32px", "--resolution", 16]
    assert run(*good, *words) == 2
    shown = capsys.readouterr()
    assert part in shown.err + shown.out
    assert "Traceback" not in shown.err + shown.out
    assert not (birds / "out").exists()


def test_help_shows_runnable_examples(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert text.count("ncm train-classifier --data") >= 2
    assert "--replace-probability" in text
