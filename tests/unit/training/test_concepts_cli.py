"""``ncm train-concepts`` in process."""

import json

import pytest

from ncm_lib.cli.main import main


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main(["train-concepts", *map(str, argv)])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def base(tiny_folder, picture_folder, tmp_path):
    return ["--model", tiny_folder, "--data", picture_folder, "--out", tmp_path / "out", "--device", "cpu"]


def test_it_trains_says_where_the_concepts_are_and_goes_on(base, tmp_path, capsys):
    options = ["--batch-size", 3, "--rank", 2, "--meta-class", "bird", "--no-flip", "--min-snr-gamma", 5]
    assert run(*base, *options, "--steps", 2) == 0
    captured = capsys.readouterr()
    assert f"{tmp_path / 'out'}: 3 classes, 2 steps (2 of them now," in captured.out
    assert "2/2 steps" in captured.err
    head = json.loads((tmp_path / "out" / "training.json").read_text())
    assert head["meta_class"] == "bird"
    assert (head["config"]["rank"], head["config"]["flip"], head["config"]["min_snr_gamma"]) == (2, False, 5.0)
    assert run(*base, *options, "--steps", 3) == 0
    assert "3 classes, 3 steps (1 of them now," in capsys.readouterr().out


def test_the_classes_can_be_put_in_order(base, tmp_path):
    assert run(*base, "--classes", "wren,owl,robin", "--steps", 1, "--batch-size", 1, "--rank", 1) == 0
    assert json.loads((tmp_path / "out" / "training.json").read_text())["classes"] == ["wren", "owl", "robin"]


BAD = [
    (["--data", "no-such-folder"], "no-such-folder"),
    (["--steps", "0"], "steps"),
    (["--learning-rate", "nan"], "learning"),
    (["--batch-size", "6", "--gradient-accumulation", "4"], "cannot be split into 4 equal parts"),
    (["--init-word", "ankle boot"], "The init word 'ankle boot' is 2 tokens"),
    (["--prompt", "a photo"], "does not contain {class}"),
    (["--mixed-precision", "fp16"], "needs a CUDA device"),
    (["--device", "tpu"], "The device 'tpu' is not to be had"),
    (["--crop", "left"], "left"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_message_and_exit_2(base, tmp_path, capsys, words, part):
    assert run(*base, *words) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out" / "concepts.json").exists()


def test_damage_is_found_before_the_training_begins(tiny_folder, tmp_path, capsys):
    (tmp_path / "data" / "robin").mkdir(parents=True)
    (tmp_path / "data" / "robin" / "1.jpg").write_bytes(b"<html>not found</html>")
    assert run("--model", tiny_folder, "--data", tmp_path / "data", "--out", tmp_path / "out") == 2
    assert "1.jpg" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_has_two_examples(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert text.count("- ncm train-concepts --model") == 2
    assert "--embedding-learning-rate" in text
