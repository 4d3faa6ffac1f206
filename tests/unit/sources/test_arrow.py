"""Data sets that Hugging Face's datasets saved, and Parquet and Arrow files from anywhere."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib import ClassList, InputError, MissingExtraError, load_source

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["wren", "robin"]
LABELS = [0, 1, 1, 0, 1]


@pytest.fixture
def cells(encode) -> list[dict[str, Any]]:
    return [{"bytes": encode(seed), "path": f"{seed}.png"} for seed in range(len(LABELS))]


@pytest.fixture
def data(cells):
    """Five images, label 0 is the wren."""
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES)})
    return datasets.Dataset.from_dict({"picture": cells, "kind": LABELS}, features=features)


def test_a_saved_data_set_is_found_by_its_features_and_keeps_its_order_of_classes(tmp_path, data):
    data.save_to_disk(tmp_path / "birds", num_shards=2)
    birds = load_source(tmp_path / "birds")
    assert birds.form == "saved datasets folder"
    assert birds.classes.names == ("wren", "robin")
    assert birds.class_counts().tolist() == [2, 3]
    assert {birds.read(row).size for row in range(5)} == {(8, 6)}


def test_parquet_and_arrow_files_give_the_same_listing_as_the_folder_of_the_images(tmp_path, data, write, encode):
    data.save_to_disk(tmp_path / "saved")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("x")
    data.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "arrow").mkdir()
    table = data.with_format("arrow")[:]
    with pa.ipc.new_file(tmp_path / "arrow" / "x.arrow", table.schema) as file:
        file.write_table(table)
    folder = write({f"{NAMES[label]}/{seed}.png": seed for seed, label in enumerate(LABELS)})
    listings = [
        load_source(tmp_path / "saved"),
        load_source(tmp_path / "hub"),
        load_source(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet"),
        load_source(tmp_path / "arrow"),
        load_source(folder, classes=ClassList.of(NAMES)),
    ]
    assert len({listing.hash() for listing in listings}) == 1
    assert [listing.form for listing in listings[1:4]] == ["Parquet files", "Parquet files", "Arrow files"]


def test_a_plain_parquet_file_with_names_needs_no_metadata(tmp_path, cells):
    pq.write_table(pa.table({"image": cells, "label": [NAMES[label] for label in LABELS]}), tmp_path / "x.parquet")
    assert load_source(tmp_path / "x.parquet").classes.names == ("robin", "wren")


def test_a_column_of_bare_bytes_is_images_too(tmp_path, cells):
    table = pa.table({"jpg": [cell["bytes"] for cell in cells], "label": ["a"] * 5})
    pq.write_table(table, tmp_path / "x.parquet")
    assert load_source(tmp_path / "x.parquet").read(4).size == (8, 6)


def test_numbers_that_nothing_names_need_a_class_list(tmp_path, cells):
    pq.write_table(pa.table({"image": cells, "label": LABELS}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"are numbers \(0, 1\) and nothing names them"):
        load_source(tmp_path / "x.parquet")
    assert load_source(tmp_path / "x.parquet", classes=ClassList.of(NAMES)).class_counts().tolist() == [2, 3]
    with pytest.raises(InputError, match=r"x\.parquet has no 'owl'\. It needs each of the 3 classes once"):
        load_source(tmp_path / "x.parquet", classes=ClassList.of([*NAMES, "owl"]))
    with pytest.raises(InputError, match=r"the labels 1; the class list has 1 classes, so legal are the ids 0 to 0"):
        load_source(tmp_path / "x.parquet", classes=ClassList.of(["wren"]))


def test_every_row_is_found_again_over_files_and_row_groups(tmp_path, cells, encode):
    for file in range(3):
        rows = pa.table({"image": [{"bytes": encode(10 * file + k)} for k in range(7)], "label": ["a"] * 7})
        pq.write_table(rows, tmp_path / f"train-{file:05d}-of-00003.parquet", row_group_size=2)
    birds = load_source(tmp_path)
    expected = {encode(10 * file + k) for file in range(3) for k in range(7)}
    assert {birds.files.read(int(position)) for position in birds.positions} == expected
    assert birds[0].where.endswith(tuple(f".parquet, row {row}" for row in range(7)))
    sent_to_a_worker = pickle.loads(pickle.dumps(birds))  # noqa: S301
    assert sent_to_a_worker.read(20) == birds.read(20)


def test_a_folder_of_splits_needs_to_know_which(tmp_path, data):
    datasets.DatasetDict(train=data, test=data.select([0, 1])).save_to_disk(tmp_path / "both")
    with pytest.raises(InputError, match=r"has several splits; say which \(split=\): test, train\."):
        load_source(tmp_path / "both")
    assert len(load_source(tmp_path / "both", split="test")) == 2
    with pytest.raises(InputError, match="has no split 'val'"):
        load_source(tmp_path / "both", split="val")
    datasets.DatasetDict(train=data).save_to_disk(tmp_path / "one")
    assert len(load_source(tmp_path / "one")) == 5


def test_shards_of_several_splits_are_never_mixed(tmp_path, data):
    data.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    data.select([0, 1]).to_parquet(tmp_path / "unsupervised-00000-of-00001.parquet")
    with pytest.raises(InputError, match="train, unsupervised"):
        load_source(tmp_path)
    assert len(load_source(tmp_path, split="train")) == 5


def test_images_that_are_named_and_not_stored_are_read_from_their_files(tmp_path, write):
    root = write({"1.png": 1, "2.png": 2})
    cells = [{"bytes": None, "path": "birds/1.png"}, {"bytes": None, "path": str(root / "2.png")}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind), "label": ["a", "b"]}), tmp_path / "x.parquet")
    assert len(load_source(tmp_path / "x.parquet")) == 2


def test_two_columns_of_classes_are_told_apart_by_name(tmp_path, cells):
    features = datasets.Features(
        {
            "img": datasets.Image(), "mask": datasets.Image(), "fine": datasets.ClassLabel(names=["a", "b", "c"]),
            "coarse": datasets.ClassLabel(names=["x", "y"]),
        }
    )  # fmt: skip
    columns = {"img": cells[:2], "mask": cells[:2], "fine": [2, 0], "coarse": [0, 1]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"several columns of classes \(fine, coarse\); say which \(label_column=\)"):
        load_source(tmp_path / "x.parquet")
    birds = load_source(tmp_path / "x.parquet", label_column="fine")
    assert (birds.classes.names, birds.class_counts().tolist()) == (("a", "b", "c"), [1, 0, 1])


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"label": ["a"]}, "has no column of images; its columns are label"),
        ({"image": [{"bytes": b"x"}]}, "has no column of labels; its columns are image"),
        ({"a": [b"x"], "b": [b"y"], "label": ["a"]}, "has 2 columns of images (a, b)"),
        ({"image": [{"bytes": b"x"}], "label": [None]}, "row 0 has the label None in the column 'label'"),
        ({"image": [{"bytes": b"x"}], "label": [0.5]}, "row 0 has the label 0.5"),
        ({"image": [{"bytes": b"<html>"}], "label": ["a"]}, "row 0 is not a JPEG"),
        ({"image": pa.array([None], pa.binary()), "label": ["a"]}, "row 0 holds no image in the column 'image'"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, "holds no rows, so no images"),
    ],
)
def test_a_file_of_another_form_is_refused_by_what_is_wrong(tmp_path, columns, part):
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InputError) as error:
        load_source(tmp_path / "x.parquet")
    assert part in str(error.value)
    assert "x.parquet" in str(error.value)


def test_rows_without_a_class_are_refused(tmp_path, cells):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    data = datasets.Dataset.from_dict({"image": cells[:2], "label": [0, -1]}, features=features)
    data.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"row 1 has the label -1 in the column 'label'; legal are 0 to 1\. Leave"):
        load_source(tmp_path / "x.parquet")


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_file_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} cannot be read as (Parquet|Arrow)"):
        load_source(tmp_path / name)


def test_cells_that_lie_outside_of_the_file_are_refused_and_not_followed(tmp_path, encode):
    images = [encode(seed) for seed in range(3)]
    table = pa.table({"image": images, "label": ["a", "b", "c"]})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write_table(table)
    data = (tmp_path / "x.arrow").read_bytes()
    offsets = np.cumsum([0, *map(len, images)], dtype="<i4")
    beyond = offsets.copy()
    beyond[-1] = 2**31 - 1
    assert data.count(offsets.tobytes()) == 1
    (tmp_path / "x.arrow").write_bytes(data.replace(offsets.tobytes(), beyond.tobytes()))
    with pytest.raises(InputError, match=r"x\.arrow, row 0 cannot be read"):
        load_source(tmp_path / "x.arrow")


def test_a_cut_off_file_is_refused_by_name(tmp_path, data):
    data.save_to_disk(tmp_path / "birds")
    [file] = (tmp_path / "birds").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:-600])
    with pytest.raises(InputError, match="cannot be read"):
        load_source(tmp_path / "birds")


@pytest.mark.parametrize(
    "state", ["{", "{}", "[]", '{"_data_files": [{"filename": "../x.arrow"}]}', '{"_data_files": [7]}']
)
def test_the_state_of_a_saved_data_set_names_files_of_its_folder_only(tmp_path, state):
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(InputError, match=r"state\.json (does not list|lists files outside).*save the data set again"):
        load_source(tmp_path)


def test_files_of_two_data_sets_are_not_mixed(tmp_path, cells):
    pq.write_table(pa.table({"image": cells[:1], "label": ["a"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"picture": cells[:1], "label": ["a"]}), tmp_path / "2.parquet")
    with pytest.raises(InputError, match=r"2\.parquet has other columns or classes than .*1\.parquet"):
        load_source(tmp_path)


def test_a_file_that_was_written_anew_is_read_anew(tmp_path, encode):
    def save(seed: int) -> Path:
        pq.write_table(pa.table({"image": [{"bytes": encode(seed)}], "label": ["a"]}), tmp_path / "x.parquet")
        return tmp_path / "x.parquet"

    before, after = load_source(save(1)), load_source(save(2))
    assert before != after
    with pytest.raises(InputError, match="has changed since it was listed"):
        before.read(0)


class NoPyarrow:
    """Finds no pyarrow, as where it is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPyarrow(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"'pyarrow' is not installed.*noisecutmix\[data\]"):
        load_source(tmp_path / "x.parquet")
