"""verify: one finding per problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.images import decode_mask, encode_image, encode_mask
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter

IMAGE = "images/000/00000002.png"
MASK = "masks/000/00000002.png"


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(change((path / name).read_bytes()))


def flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


def mirrored(data: bytes) -> bytes:
    """The same share of the mask, elsewhere."""
    return encode_mask(decode_mask(data, "it")[::-1])


def test_a_sound_data_set_has_no_finding(dataset: Any) -> None:
    report = verify(dataset())
    assert report.ok, report
    assert (report.count, report.done) == (5, 5)


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (edit(IMAGE, flip), IMAGE, "is damaged"),
        (edit(IMAGE, lambda data: data[:-9]), IMAGE, "is damaged"),
        (edit(IMAGE, lambda data: data + b"x"), IMAGE, "the image ends at byte"),
        (edit(MASK, lambda data: encode_mask(np.zeros((8, 8)))), MASK, "its mean is 0.000000"),
        (edit(MASK, lambda data: data[:-20]), MASK, "is damaged"),
        (edit(MASK, mirrored), MASK, "is another mask than the one that the record tells"),
        (lambda path: (path / MASK).unlink(), IMAGE, "its mask is gone"),
        (lambda path: (path / IMAGE).unlink(), "images", "1 of 5 samples missing (images/000/00000002.png)"),
        (edit("metadata.jsonl", lambda data: data[:-9]), "metadata.jsonl", "line 5 is not the record of sample 4"),
        (edit("metadata.jsonl", lambda data: data + b"x"), "metadata.jsonl", "it goes on behind line 5"),
        (
            lambda path: (path / "metadata.jsonl").write_text(""),
            "metadata.jsonl",
            "line 1 is not the record of sample 0",
        ),
        (lambda path: (path / "metadata.jsonl").unlink(), "metadata.jsonl", "cannot be read"),
        (edit("soft_labels.npy", lambda data: data[:-16] + b"\0" * 16), "soft_labels.npy", "rows [4] differ"),
        (edit("soft_labels.npy", lambda data: data[:-16]), "soft_labels.npy", "cannot be read"),
        (lambda path: (path / "soft_labels.npy").unlink(), "soft_labels.npy", "cannot be read"),
        (edit("metadata-0.jsonl", lambda data: data.replace(b'"seed": 9,', b'"seed": 8,')), IMAGE, "in seed"),
    ],
)
def test_each_damage_is_found_with_its_file(damage: Any, file: str, problem: str, dataset: Any) -> None:
    path = dataset()
    damage(path)
    report = verify(path)
    assert not report.ok
    assert any(finding.file == file and problem in finding.problem for finding in report.findings), str(report)
    assert "run the generation again" in str(report)


def test_a_label_that_does_not_sum_to_one_is_found(manifest: Any, item: Any, tmp_path: Path) -> None:
    record, image, _ = item(0)
    with DatasetWriter(tmp_path, manifest(count=1)) as writer:
        writer.write_batch([(dataclasses.replace(record, weights=(0.5, 0.5001)), image, None)])
    assert "its label sums to 1.000100000" in str(verify(tmp_path))


def test_an_image_of_another_size_is_found(manifest: Any, item: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, manifest(count=2)) as writer:
        writer.write_batch([item(0), item(1, size=24)])
    assert "it is 24 x 24 pixels, others 16 x 16" in str(verify(tmp_path))


def test_a_soft_mask_may_be_off_by_its_rounding(manifest: Any, item: Any, tmp_path: Path) -> None:
    record, image, _ = item(0)
    mask = np.full((4, 4), 0.3, dtype=np.float32)
    with DatasetWriter(tmp_path, manifest(count=1)) as writer:
        writer.write_batch([(dataclasses.replace(record, weights=(0.3, 0.7)), image, mask)])
    assert verify(tmp_path).ok


def test_an_image_swapped_for_another_sample_is_found(dataset: Any, item: Any) -> None:
    path = dataset()
    lines = (path / "metadata.jsonl").read_text().splitlines()
    old = [Record.from_json(line, "it") for line in lines]
    swapped = encode_image(item(3)[1], dataclasses.replace(old[2], seed=1234567))
    (path / IMAGE).write_bytes(swapped)
    for log in path.glob("metadata*.jsonl"):
        log.write_text(log.read_text().replace(f'"bytes": {old[2].bytes}', f'"bytes": {len(swapped)}'))
    assert "its own record differs from the log's in seed" in str(verify(path))


def test_foreign_files_are_listed_and_are_no_finding(dataset: Any) -> None:
    path = dataset()
    (path / "images/000/Thumbs.db").touch()
    report = verify(path)
    assert report.ok
    assert "Thumbs.db" in str(report)


def test_nothing_is_changed_by_looking(dataset: Any) -> None:
    path = dataset([0, 2])
    (path / "images/000/.00000004.png.0.tmp").touch()
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    verify(path)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        verify(tmp_path)
