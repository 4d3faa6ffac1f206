"""A folder per class, by the largest weight."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.export import export
from ncm_lib.store.export_imagefolder import hard_label
from ncm_lib.store.writer import DatasetWriter

HOSTILE = ("a/b", "..", "con", "Cat", "cat", ".hidden", "é", "e\u0301", "🎽", "x" * 300)
LABELS = (
    ((0, 1), (0.7, 0.3)),
    ((3, 4), (0.5, 0.5)),
    ((4, 3), (0.5, 0.5)),
    ((1, 0), (0.25, 0.75)),
    ((2,), (1.0,)),
    ((5, 6, 7), (0.2, 0.3, 0.5)),
    ((8, 9, 8), (0.3, 0.4, 0.3)),
    ((9, 0), (0.0, 1.0)),
)


@pytest.fixture
def labelled(manifest: Any, item: Any, tmp_path: Path) -> Callable[..., Path]:
    """Writes a data set with ``LABELS``."""

    def make(classes: tuple[str, ...] = HOSTILE) -> Path:
        path = tmp_path / "data"
        with DatasetWriter(path, manifest(classes=classes, count=len(LABELS))) as writer:
            rows = [item(n, class_ids=ids, weights=weights) for n, (ids, weights) in enumerate(LABELS)]
            writer.write_batch([(record, image, None) for record, image, _ in rows])
        return path

    return make


def folders(out: Path) -> dict[str, list[str]]:
    return {folder.name: sorted(f.stem[-1] for f in folder.iterdir()) for folder in out.iterdir() if folder.is_dir()}


def test_each_image_is_where_its_largest_weight_is_and_of_two_in_the_lower_class_id(
    labelled: Any, tmp_path: Path
) -> None:
    export(labelled(tuple("abcdefghij")), to="imagefolder-hard-labels", out=tmp_path / "out")
    assert folders(tmp_path / "out") == {"a": ["0", "3", "7"], "d": ["1", "2"], "c": ["4"], "h": ["5"], "i": ["6"]}


@pytest.mark.parametrize(
    ("ids", "weights", "label"),
    [((4, 2), (0.5, 0.5), (2, 0.5)), ((1, 3, 1), (0.25, 0.25, 0.25), (1, 0.5)), ((7,), (1.0,), (7, 1.0))],
)
def test_a_class_that_stands_twice_has_both_weights(ids: Any, weights: Any, label: Any, item: Any) -> None:
    assert hard_label(item(0, class_ids=ids, weights=weights)[0]) == label


def test_hostile_class_names_become_folders_of_their_own(labelled: Any, tmp_path: Path) -> None:
    exported = export(labelled(), to="imagefolder-hard-labels", out=tmp_path / "out")
    content = json.loads((tmp_path / "out/classes.json").read_text())
    assert content["classes"] == list(HOSTILE)
    assert content["folders"][:5] == ["a%2Fb", "%2E%2E", "%63on", "Cat%%3", "cat%%4"]
    assert content["images"] == [3, 0, 1, 2, 0, 0, 0, 1, 1, 0]
    assert folders(tmp_path / "out").keys() == {
        f for f, n in zip(content["folders"], content["images"], strict=True) if n
    }
    assert exported.files == 5
    assert exported.notes == ("5 of 10 classes have no image and so no folder: .., cat, .hidden, ...",)


def test_a_smallest_weight_leaves_images_out_and_says_how_many(labelled: Any, tmp_path: Path) -> None:
    path = labelled(tuple("abcdefghij"))
    exported = export(path, to="imagefolder-hard-labels", out=tmp_path / "out", min_weight=0.7)
    assert exported.count == 4
    assert exported.notes[0] == "4 images left out: the largest weight is below 0.7"
    assert folders(tmp_path / "out") == {"a": ["0", "3", "7"], "c": ["4"]}


def test_a_smallest_weight_that_no_image_has_is_refused(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"None of 5 images has a class of weight 1 or more"):
        export(dataset(), to="imagefolder-hard-labels", out=tmp_path / "out", min_weight=1.0)
    assert not (tmp_path / "out").exists()


def test_images_are_hard_links_to_those_of_the_data_set(dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    export(path, to="imagefolder-hard-labels", out=tmp_path / "out")
    (image,) = (tmp_path / "out").rglob("00000003.png")
    assert image.samefile(path / "images/000/00000003.png")


def test_where_links_cannot_be_they_are_copies(dataset: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    path = dataset()
    export(path, to="imagefolder-hard-labels", out=tmp_path / "out")
    (image,) = (tmp_path / "out").rglob("00000003.png")
    assert image.stat().st_nlink == 1
    assert image.read_bytes() == (path / "images/000/00000003.png").read_bytes()
