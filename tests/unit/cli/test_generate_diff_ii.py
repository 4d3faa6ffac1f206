"""``ncm generate diff-ii`` in process."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

from ncm_lib import DiffII, InversionPool, RenderSettings, load_source, verify
from ncm_lib.cli.generate import Run
from ncm_lib.cli.main import main
from ncm_lib.engine.invert import invert
from ncm_lib.methods import Method


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three coats, two bags, one shirt."""
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(["coat", "coat", "coat", "bag", "bag", "shirt"]):
        file = folder / name / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    return load_source(folder)


@pytest.fixture(scope="module")
def pool(tiny_model, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pools") / "pool"
    invert(tiny_model, photos, out=folder, num_inference_steps=3, measure=False)
    return folder


@pytest.fixture
def generate(tiny_folder, pool, tmp_path):
    """``ncm generate diff-ii`` into tmp_path/set; the exit code."""
    (tmp_path / "suffixes.txt").write_bytes(b"\xef\xbb\xbf# on what\r\non a chair\r\n\r\nin snow\r\n")

    def call(*words, out=tmp_path / "set", pool=pool, model=tiny_folder):
        words = ["--suffixes", tmp_path / "suffixes.txt", "--num-inference-steps", 3, *words]
        return run("generate", "diff-ii", "--model", model, "--pool", pool, "--out", out, *words)

    return call


def head_of(folder):
    return json.loads((folder / "dataset.json").read_text())


def records_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in folder.glob("images/*/*.png")}


def test_classes_come_from_the_pool_and_images_are_expansion_times_its(generate, pool, tmp_path, capsys):
    assert generate("--expansion", 2) == 0
    assert "12 images made" in capsys.readouterr().out
    head = head_of(tmp_path / "set")
    assert (head["method"], head["classes"], head["count"]) == ("diff-ii", ["bag", "coat", "shirt"], 12)
    assert head["config"]["suffixes"] == ["on a chair", "in snow"]
    records = records_of(tmp_path / "set")
    assert np.bincount([record["class_ids"][0] for record in records]).tolist() == [4, 6, 2]
    assert {record["start"] for record in records if record["class_ids"] != [2]} == {"circle"}
    assert {record["start"] for record in records if record["class_ids"] == [2]} == {"noise"}
    assert verify(tmp_path / "set").findings == ()


def test_a_set_resumes_grows_and_refuses_another_plan(generate, tmp_path, capsys):
    assert generate("--count", 4, "--batch-size", 2) == 0
    assert generate("--count", 9) == 0
    assert "5 images made, 4 there already" in capsys.readouterr().out
    assert generate("--count", 9, "--batch-size", 2, out=tmp_path / "once") == 0
    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "once")
    (tmp_path / "suffixes.txt").write_text("at night\n")
    assert generate("--count", 9) == 2
    assert "suffixes" in capsys.readouterr().err


def test_shards_together_make_the_set(generate, tmp_path):
    assert generate("--expansion", 1, "--batch-size", 2, out=tmp_path / "once") == 0
    for number in range(2):
        assert generate("--expansion", 1, "--batch-size", 2, "--shard", f"{number}/2") == 0
    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "once")
    assert len(bytes_of(tmp_path / "set")) == 6


def test_a_dry_run_tells_starts_suffixes_and_cost_and_writes_nothing(generate, tmp_path, capsys):
    assert generate("--dry-run", "--suffix-fraction", 0.7) == 0
    text = capsys.readouterr().out
    lines = dict(re.findall(r"^(\w[\w ]{0,11}\w) +(.+)$", text, re.MULTILINE))
    assert lines["starts"] == "25 between two inverted images, 5 from noise (classes with one image)"
    assert lines["suffixes"] == "2, in the first 2 of 3 steps"
    assert lines["samples"].startswith("30 of diff-ii, seed 0, plan ")
    assert " per image, " in lines["time"]
    assert not (tmp_path / "set").exists()


def test_ray_gets_the_pool(generate, pool, monkeypatch):
    import pickle

    from ncm_lib.engine import ray_run

    calls = []

    def note(method, model, **options):
        calls.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_run, "generate_with_ray", note)
    assert generate("--ray") == 130
    content = InversionPool(pool).listing.images[0][0]
    look_up = pickle.loads(pickle.dumps(calls[0]["inversion"]))  # noqa: S301
    assert look_up(content).equal(InversionPool(pool).latent(content))
    assert (calls[0]["count"], calls[0]["settings"].height) == (30, 16)


def test_a_pool_under_another_prompt_gives_its_own_to_the_plan(generate, tiny_model, photos, tmp_path, capsys):
    invert(tiny_model, photos, out=tmp_path / "pool", num_inference_steps=1, measure=False, prompt="one {class}")
    assert generate("--count", 1, pool=tmp_path / "pool", out=tmp_path / "a") == 0
    assert head_of(tmp_path / "a")["config"]["prompt"] == "one {class}"
    assert generate("--count", 1, "--prompt", "a {class}", pool=tmp_path / "pool") == 2
    assert "under the prompt 'one {class}', and the plan's is 'a {class}'" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_pool_of_another_model_is_refused_by_its_fingerprint(generate, pool, tiny_model, tmp_path, capsys):
    from ncm_lib.engine.load import model_fingerprint

    assert generate("--count", 1, model="demo") == 2
    error = capsys.readouterr().err
    assert f"fingerprint is {tiny_model.fingerprint[:12]}, this model's is {model_fingerprint('demo')[:12]}" in error
    assert not (tmp_path / "set").exists()


BAD = [
    (["--pool", "nowhere"], "nowhere is no pool of inversions: pool.json cannot be read"),
    (["--suffixes", "nowhere.txt"], "The suffix file nowhere.txt cannot be read"),
    (["--suffixes", "empty.txt"], "The suffix file empty.txt holds no suffix"),
    (["--suffix-fraction", "1.5"], "suffix"),
    (["--expansion", "0"], "expansion"),
    (["--count", "0"], "must be at least 1"),
    (["--arc", "line"], "line"),
    (["--height", "32"], "inverted at a height of 16"),
    (["--timestep-spacing", "leading"], "the two do not meet"),
    (["--classes", "coat,bag,shirt"], "classes"),
    (["--model", "no-such-model"], "There is no model at 'no-such-model'"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(
    tiny_folder, pool, tmp_path, monkeypatch, capsys, words, part
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    good = {"--model": tiny_folder, "--pool": pool, "--out": "set", "--count": 2} | {words[0]: words[1]}
    assert run("generate", "diff-ii", *(word for pair in good.items() for word in pair)) == 2
    shown = capsys.readouterr()
    assert part in " ".join((shown.err + shown.out).split())
    assert "Traceback" not in shown.err + shown.out
    assert not (tmp_path / "set").exists()


def test_a_suffix_that_is_too_long_for_the_model_is_told_before_anything_is_made(generate, tmp_path, capsys):
    (tmp_path / "suffixes.txt").write_text("in snow\n" + "on a very old and very small " * 8 + "chair\n")
    assert generate("--count", 1) == 2
    assert "the end would be cut off" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_every_field_of_the_configs_is_a_flag(capsys):
    assert run("generate", "diff-ii", "--help") == 0
    text = capsys.readouterr().out
    fields = [
        *(name for name in DiffII.model_fields if name not in Method.model_fields),
        *RenderSettings.model_fields,
        *(field.name for field in dataclasses.fields(Run)),
    ]
    assert [name for name in fields if f"--{name.replace('_', '-')}" not in text.replace("--no-", "--")] == []
    assert text.count("ncm generate diff-ii --") >= 2
