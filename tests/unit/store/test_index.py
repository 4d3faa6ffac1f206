"""index: logs and derived files from the images alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.index import index
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter

ROOT = Path(__file__).parents[3]
IMAGE = "images/000/00000002.png"


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("image_format", ["png", "webp", "jpeg"])
def test_everything_but_images_masks_and_head_is_made_anew(image_format: str, dataset: Any) -> None:
    path = dataset(image_format=image_format)
    index(path)
    before = contents(path)
    for file in path.iterdir():
        if file.is_file() and file.name != "dataset.json":
            file.unlink()
    result = index(path)
    assert (result.images, result.listed, result.left) == (5, 5, ())
    assert contents(path) == before
    assert verify(path).ok


def test_the_index_as_a_table_has_every_field_of_the_records(dataset: Any, item: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = dataset([4, 1])
    assert "index.parquet" in str(index(path))
    rows = parquet.read_table(path / "index.parquet").to_pylist()
    lines = (path / "metadata.jsonl").read_text().splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert list(rows[0]) == list(Record.__slots__)
    assert [row["seed"] for row in rows] == [item(1)[0].seed, item(4)[0].seed]


def test_the_table_follows_later_runs_once_it_is_there(dataset: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = dataset([4, 1])
    assert not (path / "index.parquet").exists()
    index(path)
    dataset()
    assert parquet.read_table(path / "index.parquet")["index"].to_pylist() == [0, 1, 2, 3, 4]
    assert verify(path).ok


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"PAR1"])
def test_a_table_that_is_damaged_or_behind_is_found(damage: Any, dataset: Any) -> None:
    pytest.importorskip("pyarrow")
    path = dataset([0, 1])
    index(path)
    table = (path / "index.parquet").read_bytes()
    dataset()
    (path / "index.parquet").write_bytes(table)
    assert "index.parquet: its 2 rows are not the 5 records; run `ncm index`" in str(verify(path))
    (path / "index.parquet").write_bytes(damage(table))
    assert "index.parquet: it cannot be read" in str(verify(path))


def test_without_pyarrow_the_rest_is_made(dataset: Any) -> None:
    path = dataset()
    (path / "metadata-0.jsonl").unlink()
    code = f"import sys; sys.modules['pyarrow'] = None; import ncm_lib; print(ncm_lib.index({str(path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "5 of 5 images listed" in run.stdout
    assert not (path / "index.parquet").exists()
    assert verify(path).ok


def test_what_a_hand_wrote_into_the_logs_gives_way_to_the_images_own_records(dataset: Any) -> None:
    path = dataset()
    whole = contents(path)["metadata.jsonl"]
    edited = whole.replace(b'"class_ids": [0, 1]', b'"class_ids": [3, 1]')
    assert edited != whole
    for log in path.glob("metadata*.jsonl"):
        log.write_bytes(edited)
    assert "images with another record than the logs had, whose own was taken: 2 (samples 0, 4)" in str(index(path))
    assert (path / "metadata.jsonl").read_bytes() == whole
    assert (path / "damaged/metadata-0.jsonl").read_bytes() == edited


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:-7], "is damaged"),
        (lambda data: data + b"x", "is damaged"),
        (lambda data: b"", "is damaged"),
        (lambda data: data.replace(b"ncm", b"nCm"), "is damaged"),
    ],
)
def test_an_image_that_is_not_whole_is_told_and_not_listed_and_stays(damage: Any, told: str, dataset: Any) -> None:
    path = dataset()
    data = damage((path / IMAGE).read_bytes())
    (path / IMAGE).write_bytes(data)
    result = index(path)
    assert (result.images, result.listed) == (5, 4)
    assert told in result.left[0]
    assert "ncm verify --repair" in result.left[0]
    assert (path / IMAGE).read_bytes() == data
    assert np.isnan(np.load(path / "soft_labels.npy")[2]).all()
    assert [json.loads(line)["index"] for line in (path / "metadata.jsonl").read_text().splitlines()] == [0, 1, 3, 4]


def test_an_image_without_its_mask_is_told_and_not_listed(dataset: Any) -> None:
    path = dataset()
    (path / "masks/000/00000002.png").unlink()
    result = index(path)
    assert result.listed == 4
    assert "has lost its mask masks/000/00000002.png" in result.left[0]


def test_an_image_of_another_data_set_is_told_and_not_listed(
    dataset: Any, manifest: Any, item: Any, tmp_path: Path
) -> None:
    path = dataset()
    with DatasetWriter(tmp_path / "other", manifest(plan_hash="other")) as writer:
        record, image, mask = item(2, plan_hash="other")
        writer.write_batch([(dataclasses.replace(record), image, mask)])
    (path / IMAGE).write_bytes((tmp_path / "other" / IMAGE).read_bytes())
    assert "it belongs to another plan" in index(path).left[0]


def test_a_data_set_that_is_being_written_is_refused(dataset: Any, manifest: Any) -> None:
    path = dataset()
    with DatasetWriter(path, manifest()), pytest.raises(InputError, match="is being written by process"):
        index(path)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        index(tmp_path)
