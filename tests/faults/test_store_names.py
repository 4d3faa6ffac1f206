"""Class names of every kind: two that look alike stay two, and labels come from the records."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.plan.classes import ClassList
from ncm_lib.store.layout import image_name, is_ours
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.reader import SyntheticDataset
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter

NAMES = (
    "a/b", "a\\b", "a_b", "a-b", "a b", "A B", "a  b", " a b", "'a'", '"a"', "🎽", "\U0001f468\u200d\U0001f467",
    unicodedata.normalize("NFC", "größe é"), unicodedata.normalize("NFD", "größe é"), "ﬁ", "fi", "ß", "SS", "İ", "i̇",
    ".hidden", "..", "../../x", "/etc/passwd", "~", "C:\\x", "CON", "nul.txt", "a.", "a ", "{a}", "%s", "$HOME",
    "\u202egnp.a", "中文", "x" * 300,
)  # fmt: skip


def write(path: Path, names: tuple[str, ...]) -> None:
    classes = ClassList.of(names)
    manifest = Manifest(
        classes=classes.names, method="m", config={}, seed=0, plan_hash="p", batch_shape=1, count=len(names)
    )
    with DatasetWriter(path, manifest) as writer:
        for index in writer.missing():
            ids = (index, (index + 1) % len(names))
            image = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            record = Record(
                file_name="-", index=index, seed=1, class_ids=ids, weights=(0.75, 0.25), method="m", plan_hash="p"
            )
            writer.write_batch([(record, image, None)])


def test_every_name_stays_itself_and_names_no_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write(path, NAMES)
    data = SyntheticDataset(path)
    assert data.classes == NAMES
    assert len(set(data.classes)) == len(NAMES)
    for index in range(len(NAMES)):
        label = data[index][1]
        assert {data.classes[row]: float(label[row]) for row in label.nonzero().flatten()} == {
            NAMES[index]: 0.75,
            NAMES[(index + 1) % len(NAMES)]: 0.25,
        }
    assert verify(path).ok
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert all(is_ours(entry.name) for entry in path.iterdir())
    images = [file.relative_to(path).as_posix() for file in (path / "images").rglob("*.*")]
    assert sorted(images) == [image_name(index) for index in range(len(NAMES))]


@pytest.mark.parametrize("pair", [("größe", "größe"), ("cat", "Cat"), ("a/b", "a_b"), ("a", "a ")])
def test_names_that_some_file_system_takes_for_one_are_another_data_set(pair: tuple[str, str], tmp_path: Path) -> None:
    first, second = (unicodedata.normalize(form, name) for form, name in zip(("NFC", "NFD"), pair, strict=True))
    assert first != second
    write(tmp_path, ("dog", first))
    with pytest.raises(InputError, match=r"classes\[1\]: the data set has"):
        write(tmp_path, ("dog", second))
