"""Parquet files with images inside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.store.export import export
from ncm_lib.store.reader import SyntheticDataset
from ncm_lib.store.writer import DatasetWriter

parquet = pytest.importorskip("pyarrow.parquet")


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_every_field_of_the_record_has_a_column_of_its_own(dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    export(path, to="parquet", out=tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out/part-00000.parquet").to_pylist()
    records = SyntheticDataset(path).records
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    for row, record in zip(rows, records, strict=True):
        fields = {field.name: plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
        assert {key: row[key] for key in fields} == fields
        assert set(row) - set(fields) == {"image", "mask", "soft_label"}


def test_images_and_masks_are_the_files_and_the_label_is_dense(dataset: Any, item: Any, tmp_path: Path) -> None:
    path = dataset()
    export(path, to="parquet", out=tmp_path / "out")
    row = parquet.read_table(tmp_path / "out/part-00000.parquet").to_pylist()[3]
    assert row["image"] == {"bytes": (path / "images/000/00000003.png").read_bytes(), "path": "00000003.png"}
    assert row["mask"] == {"bytes": (path / "masks/000/00000003.png").read_bytes(), "path": "00000003.png"}
    np.testing.assert_array_equal(np.float32(row["soft_label"]), item(3)[0].soft_label(4))


def test_samples_without_box_mask_and_source_have_nulls(manifest: Any, item: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", manifest(count=2)) as writer:
        bare = dataclasses.replace(item(0)[0], box=None)
        circle = dataclasses.replace(item(1)[0], start="circle", source="a" * 64, source_b="b" * 64, u=0.25)
        writer.write_batch([(bare, item(0)[1], None), (circle, *item(1)[1:])])
    export(tmp_path / "data", to="parquet", out=tmp_path / "out")
    first, second = parquet.read_table(tmp_path / "out/part-00000.parquet").to_pylist()
    assert (first["mask"], first["box"], first["source"], first["u"]) == (None, None, None, None)
    assert (second["start"], second["source"], second["u"]) == ("circle", "a" * 64, 0.25)


def test_files_and_row_groups_are_cut_so_that_memory_stays_flat(dataset: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ncm_lib.store.export_parquet._GROUP_SAMPLES", 2)
    exported = export(dataset(), to="parquet", out=tmp_path / "out", shard_samples=3)
    heads = [parquet.read_metadata(path) for path in sorted(exported.path.iterdir())]
    groups = [[head.row_group(n).num_rows for n in range(head.num_row_groups)] for head in heads]
    assert groups == [[2, 1], [2]]
    assert exported.files == 2


def test_the_files_tell_the_class_names_to_any_reader(dataset: Any, tmp_path: Path) -> None:
    export(dataset(), to="parquet", out=tmp_path / "out")
    metadata = parquet.read_schema(tmp_path / "out/part-00000.parquet").metadata
    assert json.loads(metadata[b"ncm"])["classes"] == ["T-shirt", "pull/over", "größe 🎽", ".hidden"]
