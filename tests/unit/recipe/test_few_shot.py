"""The experiment with few shots: its plans, and which images go where."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib.metrics.classifier import Classifier
from ncm_lib.metrics.preparation import Preparation
from ncm_lib.training.backbones import small_resnet
from ncm_lib.training.classifier_schedule import Schedule
from ncm_lib.training.compare import Comparison
from ncm_lib.training.compare_plan import load_plan

BENCH = Path(__file__).parents[2] / "bench"
MODULES = ("few_shot", "few_shot_page", "few_shot_run", "fashion")
NAMES = ("t-shirt", "pullover", "coat", "sandal")
EVERY_ROW = {
    "original", "CutMix", "MixUp", "sd-random", "sd-random + CutMix", "sd-random + MixUp", "noisecutmix", "diff-ii",
    "diff-mix", "diff-aug",
}  # fmt: skip


@pytest.fixture
def few_shot(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("few_shot")
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def page_parts(few_shot):
    """What its tables are made with."""
    return sys.modules["few_shot_page"]


@pytest.fixture
def tiny_data(few_shot, monkeypatch):
    """Four classes with six training and three test images each; test image 1 is a training image too."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (4 * count, 8, 8), dtype=np.uint8) for count in (6, 3))
    test[1] = train[0]
    real = SimpleNamespace(
        train_images=train, train_labels=np.repeat(np.arange(4), 6),
        test_images=test, test_labels=np.repeat(np.arange(4), 3),
    )  # fmt: skip
    data = SimpleNamespace(load=lambda package: real, CLASSES=NAMES, HELD_OUT_PER_CLASS=3)
    monkeypatch.setattr(few_shot, "recipe", {"data": data}.__getitem__)
    monkeypatch.setattr(few_shot, "PRIVILEGED_TEST", 2)
    return real


def files(folder: Path) -> dict[str, list[str]]:
    return {one.name: sorted(file.name for file in one.iterdir()) for one in sorted(folder.iterdir())}


def test_test_images_are_no_training_images_and_the_unseen_classes_stand_by_themselves(few_shot, tiny_data, tmp_path):
    few_shot.folders(tmp_path, tmp_path / "work")
    work = tmp_path / "work"
    seen, unseen = files(work / "seen"), files(work / "unseen")
    assert {name: len(found) for name, found in seen.items()} == dict.fromkeys(NAMES, 6)
    assert unseen == {name: seen[name] for name in ("pullover", "coat", "sandal")}
    test = files(work / "test")
    # of three per class two are taken, and of the t-shirts the second one is a training image
    assert test["t-shirt"] == ["00000.png"]
    assert test["sandal"] == ["00009.png", "00010.png"]
    assert {name: len(found) for name, found in files(work / "test-unseen").items()} == {
        "pullover": 3, "coat": 3, "sandal": 3,
    }  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(work / "test" / "t-shirt" / "00000.png")), tiny_data.test_images[0])
    assert json.loads((work / "folders.json").read_text()) == {"test images that are training images too": 1}


def test_a_variant_that_knows_a_held_out_class_is_refused(few_shot, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model_index.json").write_text("{}")
    (model / "classes.json").write_text(json.dumps({"classes": ["bag", "coat"]}))
    with pytest.raises(SystemExit, match=r"was trained on \['coat'\], which it must not know"):
        few_shot.variant(tmp_path, tmp_path / "work", model)


@pytest.mark.parametrize(("part", "classes"), [("privileged", 10), ("held_out", 5)])
def test_the_plans_have_every_row_and_give_each_as_many_updates(part, classes):
    plan = load_plan(BENCH / f"few_shot_{part}.toml")
    assert {row.name for row in plan.rows if row.train is None} == EVERY_ROW
    assert set(plan.shots) == {10, 50}
    assert len(plan.seeds) >= 5
    updates: dict[int, set[int]] = {10: set(), 50: set()}
    for shots in (10, 50):
        for row in plan.rows:
            if row.train is None:
                config = plan.classifier_of(row, shots, 0)
                real = shots * classes - round(config.validation * shots) * classes
                assert config.use == "replace"
                labels = np.zeros((real, classes), dtype=np.float32)
                updates[shots].add(Schedule(real=real, labels=labels, config=config).steps)
    said = [
        int(word) for word in (BENCH / f"few_shot_{part}.toml").read_text().replace(",", "").split() if word.isdigit()
    ]
    assert all(len(found) == 1 and found < set(said) for found in updates.values()), updates


def test_the_generator_of_the_held_out_classes_learns_them_and_is_not_the_one_of_the_tests():
    plan = load_plan(BENCH / "few_shot_held_out.toml")
    assert [one.model for one in plan.generators.values()] == ["variant"]
    assert all(one.concepts is not None for one in plan.generators.values())


@pytest.mark.parametrize(("script", "file"), [
    ("few_shot.py", "few_shot.md"), ("photographs_few_shot.py", "few_shot_photographs.md"),
])  # fmt: skip
def test_tables_take_the_place_of_those_between_the_marks(page_parts, tmp_path, script, file):
    page, (begin, end) = tmp_path / "page.md", page_parts.marks(script)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    page_parts.replace_between(page, script, "| new |")
    assert page.read_text() == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    shown = (BENCH.parents[1] / "docs" / file).read_text(encoding="utf-8")
    assert (shown.count(begin), shown.count(end)) == (1, 1)
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the marks"):
        page_parts.replace_between(page, script, "| new |")


def test_a_table_has_mean_difference_and_holm_for_each_number_of_shots(page_parts):
    plan = load_plan(BENCH / "few_shot_held_out.toml")
    plan = plan.model_copy(update={"rows": plan.rows[:3], "seeds": (0, 1, 2)})
    given = {
        ("original", "10"): [0.5, 0.52, 0.51], ("CutMix", "10"): [0.6, 0.62, 0.61], ("MixUp", "10"): [0.5, 0.6, None],
        ("original", "50"): [0.6, 0.6, 0.6], ("MixUp", "50"): [0.7, None, None],
    }  # fmt: skip
    results = [
        {"row": row.name, "shots": shots, "seed": seed, "accuracy": accuracy}
        | {"state": "failed" if accuracy is None else "done"}
        for row in plan.rows
        for shots in ("10", "50")
        for seed, accuracy in enumerate(given.get((row.name, shots), [None] * 3))
    ]
    done = Comparison(path=BENCH, results=tuple(results), failed=4, left=0)
    lines = page_parts.tables(plan, done).splitlines()
    assert lines[2:] == [
        "| original | 51.0 ± 1.0 |  |  | 60.0 ± 0.0 |  |  |",
        "| CutMix | 61.0 ± 1.0 | **+10.0 (+10.0 to +10.0)** | < 0.001 | failed |  |  |",
        "| MixUp | 55.0 ± 7.1 (2 of 3 seeds) | +4.0 (-46.8 to +54.8) | 0.500 | 70.0 (1 of 3 seeds) |  |  |",
    ]
    assert lines[0].count("|") == lines[1].count("|") == 8


def test_the_share_counts_by_name_what_the_judge_puts_into_its_class(page_parts):
    module = small_resnet(2).eval()
    with torch.no_grad():
        module.classifier[-1].weight.zero_()
        module.classifier[-1].bias.copy_(torch.tensor([0.0, 1.0]))
    half = (0.5, 0.5, 0.5)
    ready = Preparation(resolution=32, resize=32, mean=half, std=half)
    judge = Classifier(name="says coat", module=module, classes=("bag", "coat"), preparation=ready)
    images = [Image.new("L", (32, 32), gray) for gray in (0, 100, 200)]
    assert page_parts.share(judge, images, ["coat", "bag", "coat"]) == pytest.approx(2 / 3)
