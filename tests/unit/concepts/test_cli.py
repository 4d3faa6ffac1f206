"""Concepts on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main
from ncm_lib.concepts import read_concepts, save_concepts
from ncm_lib.engine.concepts import load_concepts
from ncm_lib.methods import NoiseCutMix
from ncm_lib.plan.classes import ClassList
from ncm_lib.sources.pool import InversionPool

GENERATE = ["generate", "noisecutmix", "--num-inference-steps", "2", "--count", "2"]


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


def images_of(folder):
    return [file.read_bytes() for file in sorted(folder.glob("images/*/*.png"))]


def plan_hash(classes):
    """The words of a class list are part of the plan."""
    return NoiseCutMix(classes=classes).resolved(seed=0, latent_height=8, latent_width=8, latent_cell=2).plan_hash()


def test_a_converted_checkpoint_makes_the_same_data_set_as_the_published_one(
    tiny_folder, tiny_model, checkpoint, tmp_path, capsys
):
    assert run("convert-concepts", checkpoint, tmp_path / "converted", "--meta-class", "bird") == 0
    assert "12 classes, 12 vectors, LoRA of rank 4 on" in capsys.readouterr().out
    for name, concepts in {"published": checkpoint, "ours": tmp_path / "converted"}.items():
        words = ["--concepts", concepts, "--meta-class", "bird", "--out", tmp_path / name]
        assert run(*GENERATE, "--model", tiny_folder, *words) == 0
    assert images_of(tmp_path / "published") == images_of(tmp_path / "ours") != []
    head = json.loads((tmp_path / "published" / "dataset.json").read_text())
    assert head["classes"][11] == "Black footed Albatross"
    assert head["model_fingerprint"] == load_concepts(tiny_model, checkpoint).fingerprint
    assert head["plan_hash"] == plan_hash(replace(read_concepts(checkpoint).classes, meta_class="bird"))


def test_a_class_list_chooses_among_the_learned_classes(tiny_folder, checkpoint, tmp_path, capsys):
    words = ["--model", tiny_folder, "--concepts", checkpoint, "--out", tmp_path / "aug", "--classes"]
    assert run(*GENERATE, *words, "Black_footed/Albatross,Bird_3") == 0
    head = json.loads((tmp_path / "aug" / "dataset.json").read_text())
    assert head["classes"] == ["Black_footed/Albatross", "Bird_3"]
    assert head["plan_hash"] == plan_hash(ClassList(names=tuple(head["classes"]), tokens=("<class_11>", "<class_3>")))
    assert run(*GENERATE, *words, "Bird 3,Ostrich") == 2
    assert "ncm: The concepts were not learned for 'Ostrich'; they know 12 classes" in capsys.readouterr().err


def test_concepts_of_another_model_need_a_word(tiny_folder, make_concepts, tmp_path, capsys):
    save_concepts(tmp_path / "set", make_concepts(base_model="sd15", base_fingerprint="a" * 64))
    words = [*GENERATE, "--model", tiny_folder, "--concepts", tmp_path / "set", "--out", tmp_path / "aug"]
    assert run(*words) == 2
    assert "learned with the model 'sd15'" in capsys.readouterr().err
    assert run(*words, "--any-base") == 0


def test_a_dry_run_takes_concepts(tiny_folder, checkpoint, tmp_path, capsys):
    words = ["--model", tiny_folder, "--concepts", checkpoint, "--out", tmp_path / "aug", "--dry-run"]
    assert run(*GENERATE, *words) == 0
    assert "Bird 0" in capsys.readouterr().out
    assert not (tmp_path / "aug").exists()


def test_a_pool_is_inverted_and_used_under_the_learned_words(tiny_folder, tiny_model, checkpoint, tmp_path, capsys):
    for number, name in enumerate(["Bird_3", "Bird_3", "Bird_7"]):
        file = tmp_path / "photos" / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    here = ["--model", tiny_folder, "--concepts", checkpoint]
    inverted = ["invert", *here, "--data", tmp_path / "photos", "--out", tmp_path / "pool", "--steps", 2]
    assert run(*inverted) == 0
    pool = InversionPool(tmp_path / "pool")
    assert pool.classes.tokens == ("<class_3>", "<class_7>")
    assert pool.head.model_fingerprint == load_concepts(tiny_model, checkpoint).fingerprint
    made = ["generate", "diff-ii", "--pool", tmp_path / "pool", "--num-inference-steps", 2, "--count", 2]
    assert run(*made, *here, "--out", tmp_path / "aug") == 0
    assert len(images_of(tmp_path / "aug")) == 2
    assert run(*made, "--model", tiny_folder, "--out", tmp_path / "bare") == 2
    assert "pool" in capsys.readouterr().err


def test_converting_takes_a_new_folder_and_a_name(checkpoint, tmp_path, capsys):
    assert run("convert-concepts", checkpoint, tmp_path / "out", "--dataset", "birds") == 0
    assert (tmp_path / "out/embeddings/birds_class_11.safetensors").is_file()
    assert read_concepts(tmp_path / "out").fingerprint == read_concepts(checkpoint).fingerprint
    capsys.readouterr()
    for out in (tmp_path / "out", checkpoint):
        assert run("convert-concepts", checkpoint, out) == 2
        assert f"{out} holds concepts already" in capsys.readouterr().err
    assert run("convert-concepts", tmp_path, tmp_path / "new") == 2
    assert "holds no concepts" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", [["convert-concepts"], ["generate", "noisecutmix"], ["invert"]])
def test_help_tells_of_concepts(command, capsys):
    assert run(*command, "--help") == 0
    assert "concepts" in capsys.readouterr().out
