"""Files that say what something is, damaged as hands and programs do it: one line that names the file, no guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ncm_lib import InputError, NoiseCutMix, load_model
from ncm_lib.cli.main import main
from ncm_lib.concepts.manifest import ConceptsFile
from ncm_lib.plan.classes import ClassList
from ncm_lib.sources.pool import PoolHead
from ncm_lib.store.manifest import Manifest
from ncm_lib.training.compare_plan import load_plan
from ncm_lib.training.concepts_config import TrainingHead

# file name -> (what reads it, a good one, a number in it)
HEADS: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "dataset.json": (
        lambda file: Manifest.read(file.parent),
        {
            "format": "ncm-1", "classes": ["robin"], "method": "noisecutmix", "config": {"alpha": 1.0}, "seed": 0,
            "plan_hash": "p", "batch_shape": 1, "count": 7,
        },
        "count",
    ),
    "pool.json": (
        lambda file: PoolHead.read(file.parent),
        {
            "classes": ["robin"], "prompt": "a photo", "model_fingerprint": "f", "num_inference_steps": 7,
            "timestep_spacing": "trailing", "height": 8, "width": 8, "dtype": "float32",
        },
        "num_inference_steps",
    ),
    "training.json": (
        lambda file: TrainingHead.read(file.parent),
        {
            "classes": ["robin"], "meta_class": "", "data": "d", "images": 7, "model": "m", "model_fingerprint": "f",
            "config": {"rank": 10},
        },
        "images",
    ),
    "concepts.json": (
        ConceptsFile.read,
        {
            "format": "ncm-concepts-1", "dataset": "birds", "resolution": 7, "encoders": {"clip_l": 4},
            "classes": [{"name": "robin", "tokens": ["<a>"], "file": "a.safetensors", "sha256": "0" * 64}],
        },
        "resolution",
    ),
}  # fmt: skip


@pytest.fixture(params=HEADS)
def head(request, tmp_path):
    """A file, what reads it, its text, and the name of a number in it."""
    read, content, number = HEADS[request.param]
    file = tmp_path / request.param
    file.write_text(json.dumps(content))
    read(file)  # it is good
    return file, read, file.read_text(), number


def refusal(head, text: str) -> str:
    file, read, *_ = head
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read(file)
    message = str(error.value)
    assert str(file) in message
    assert "\n" not in message
    assert "pydantic" not in message
    assert "Input should" not in message
    return message


def test_an_unknown_key_is_named_with_the_one_that_was_meant(head):
    text, number = head[2], head[3]
    assert f"there is no option '{number}x'; did you mean '{number}'" in refusal(
        head, text.replace("{", f'{{"{number}x": 1, ', 1)
    )


@pytest.mark.parametrize("value", ['"many"', "NaN", "-Infinity", "1e400", "0", "7.5", "[7]", "{}", '"7; import os"'])
def test_a_value_of_another_kind_is_named_with_what_is_legal(head, value):
    text, number = head[2], head[3]
    message = refusal(head, text.replace(f'"{number}": 7', f'"{number}": {value}'))
    assert f"{number} is " in message
    assert "; it takes " in message


def test_a_key_that_stands_twice_is_refused(head):
    text, number = head[2], head[3]
    assert f"'{number}' stands twice" in refusal(head, text.replace("{", f'{{"{number}": 8, ', 1))


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "null", "[]", "\0" * 50, "{'a': 1}", "1e400"])
def test_what_is_no_json_object_is_refused(head, text):
    refusal(head, text)


def test_a_missing_key_is_named(head):
    text, classes = head[2], json.loads(head[2])
    del classes["classes"]
    assert text != json.dumps(classes)
    assert "classes is missing" in refusal(head, json.dumps(classes))


TWO = '{"classes": ["a"], "%s": ["b"]}'


@pytest.mark.parametrize("text", ["", "{", TWO % "clases", TWO % "classes", '{"classes": [NaN]}', "[" * 100_000])
def test_a_damaged_class_list_is_refused(tmp_path, text):
    file = tmp_path / "birds.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"birds\.json"):
        ClassList.load(file)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("seeds = [0]\nseeds = [1]", "Cannot overwrite a value"),
        ("seeds = " + "[" * 100_000, "cannot be read as a plan"),
        ("[data]\ntrain = nan", "data.train is nan; it takes a text"),
        ("shots = [1e400]", "shots.0 is inf"),
        ("shotts = [5]", "there is no option 'shotts'; did you mean 'shots'?"),
        ("seeds = ['__import__(\"os\").getcwd()']", "seeds.0 is '__import__"),
    ],
)
def test_a_damaged_plan_of_a_comparison_is_refused(tmp_path, text, part):
    good = ('baseline = "original"', 'data = {train = "x", test = "y"}', "shots = [5]", "seeds = [0]",
            'rows = [{name = "original"}]')  # fmt: skip
    own = text.split()[0].strip("[]")
    kept = [line for line in good if not line.startswith(f"{own} ")]
    (tmp_path / "plan.toml").write_text("\n".join([*kept, text]))
    with pytest.raises(InputError) as error:
        load_plan(tmp_path / "plan.toml")
    assert part in str(error.value)
    assert str(tmp_path / "plan.toml") in str(error.value)


def test_model_defaults_with_other_numbers_are_refused(tiny_folder, tmp_path):
    for child in tiny_folder.iterdir():
        (tmp_path / child.name).symlink_to(child)
    for text in ('{"guidance_scale": 1e400}', '{"guidance_scale": NaN}', '{"guidance": 3}', "[" * 100_000):
        (tmp_path / "ncm.json").unlink(missing_ok=True)
        (tmp_path / "ncm.json").write_text(text)
        with pytest.raises(InputError, match=r"ncm\.json is not a file of model defaults: .*It holds guidance_scale"):
            load_model(tmp_path, device="cpu")


def test_options_of_a_method_are_checked_in_words():
    with pytest.raises(InputError, match=r"^there is no option 'aplha'; did you mean 'alpha'\?$"):
        NoiseCutMix.checked(classes=ClassList.of(["robin", "wren"]), aplha=1.0)
    with pytest.raises(InputError, match=r"^alpha is inf; it takes a finite number\.$"):
        NoiseCutMix.checked(classes=ClassList.of(["robin", "wren"]), alpha=1e400)


def test_a_command_shows_the_line_and_no_traceback(tmp_path, capsys):
    (tmp_path / "dataset.json").write_text('{"format": "ncm-1", "format": "ncm-1"}')
    assert main(["verify", str(tmp_path)]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1
    assert "'format' stands twice" in shown[0]
