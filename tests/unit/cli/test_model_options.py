"""What `ncm generate` and `ncm invert` hand on to the loading of a model."""

import json

import pytest

from ncm_lib.cli.main import main


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def generate(tiny_folder, tmp_path):
    """``ncm generate noisecutmix`` into tmp_path/set; the exit code."""

    def call(*words, model=tiny_folder):
        usual = ["--model", model, "--num-inference-steps", 1, "--classes", "bag,coat", "--out", tmp_path / "set"]
        return run("generate", "noisecutmix", *usual, "--count", 2, *words)

    return call


def head(tmp_path):
    return json.loads((tmp_path / "set" / "dataset.json").read_text())


def test_a_batch_size_can_be_found_by_trying(generate, tmp_path):
    assert generate("--batch-size", "auto") == 0
    assert head(tmp_path)["batch_shape"] == 2
