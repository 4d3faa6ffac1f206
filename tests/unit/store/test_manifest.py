"""dataset.json, and what keeps a run from going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest, difference


def test_a_manifest_comes_back_from_its_file(manifest: Any, tmp_path: Path) -> None:
    there = manifest(
        model_fingerprint="f", versions={"torch": "2.13.0"}, config={"alpha": 0.1, "deep": {"a": [1, None]}}
    )
    there.write(tmp_path)
    assert Manifest.read(tmp_path) == there
    assert (tmp_path / "dataset.json").read_bytes().isascii()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-30],
        lambda text: text.replace("ncm-1", "ncm-2"),
        lambda text: text.replace('"count": 5', '"count": "5"'),
        lambda text: text.replace('"count": 5', '"count": 0'),
        lambda text: text.replace('"seed"', '"sead"'),
        lambda text: "\0" * len(text),
    ],
    ids=["empty", "torn", "other format", "other type", "no sample", "unknown key", "NUL"],
)
def test_a_damaged_head_is_refused_with_the_file(damage: Any, manifest: Any, tmp_path: Path) -> None:
    manifest().write(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=r"dataset\.json is not a data set's head of format ncm-1"):
        Manifest.read(tmp_path)


def test_a_folder_without_a_head_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        Manifest.read(tmp_path)


def test_the_same_run_differs_in_nothing_and_a_larger_count_is_no_difference(manifest: Any) -> None:
    assert difference(manifest(), manifest()) == []
    assert difference(manifest(), manifest(count=50)) == []


def test_a_difference_names_each_field_with_both_values(manifest: Any) -> None:
    there = manifest(config={"alpha": 1.0, "placement": "truncate"})
    here = manifest(
        config={"alpha": 0.5, "placement": "truncate", "rounding": "exact"},
        classes=("T-shirt", "pull/over", "shoe", ".hidden"),
        render={"steps": 30},
        plan_hash="other",
        render_hash="another",
    )
    assert set(difference(there, here)) == {
        'classes[2]: the data set has "größe 🎽", this run has "shoe"',
        "config.alpha: the data set has 1.0, this run has 0.5",
        'config.rounding: the data set has no such field, this run has "exact"',
        "render.steps: the data set has 25, this run has 30",
    }


def test_hashes_that_no_field_explains_are_shown_themselves(manifest: Any) -> None:
    assert difference(manifest(), manifest(plan_hash="other")) == [
        'plan_hash: the data set has "plan", this run has "other"'
    ]


def test_fields_outside_of_the_hashes_do_not_stop_a_run(manifest: Any) -> None:
    assert difference(manifest(), manifest(versions={"pillow": "99"})) == []


def test_another_image_format_stops_a_run_even_at_equal_hashes(manifest: Any) -> None:
    assert difference(manifest(), manifest(image_format="webp")) == [
        'image_format: the data set has "png", this run has "webp"'
    ]


def test_the_head_alone_reads_as_plain_json(manifest: Any, tmp_path: Path) -> None:
    manifest().write(tmp_path)
    head = json.loads((tmp_path / "dataset.json").read_text())
    assert (head["format"], head["count"], head["plan_hash"]) == ("ncm-1", 5, "plan")
