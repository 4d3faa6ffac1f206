"""Writing a data set, and going on with one."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.images import decode_image, embedded_record
from ncm_lib.store.lock import merging
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def records(file: Path) -> list[Record]:
    return [Record.from_json(line, file.name) for line in file.read_text().splitlines()]


def indexed(path: Path) -> list[int]:
    return [json.loads(line)["index"] for line in (path / "metadata.jsonl").read_text().splitlines()]


def test_a_finished_data_set_has_these_files_and_no_other(dataset: Any) -> None:
    assert set(contents(dataset(count=2))) == {
        "dataset.json",
        "images/000/00000000.png",
        "images/000/00000001.png",
        "masks/000/00000000.png",
        "masks/000/00000001.png",
        "metadata-0.jsonl",
        "metadata.jsonl",
        "soft_labels.npy",
        "preview.png",
    }


def test_the_record_in_the_image_is_the_line_without_the_size(dataset: Any) -> None:
    path = dataset()
    for record in records(path / "metadata.jsonl"):
        image = path / record.file_name
        assert record.bytes == image.stat().st_size
        assert embedded_record(image, "it") == record.embedded()


@pytest.mark.parametrize(("image_format", "suffix"), [("webp", ".webp"), ("jpeg", ".jpg")])
def test_other_image_formats_are_named_and_resumed_alike(dataset: Any, image_format: str, suffix: str) -> None:
    path = dataset([0], image_format=image_format)
    assert (path / f"images/000/00000000{suffix}").is_file()
    before = contents(path)[f"images/000/00000000{suffix}"]
    dataset(image_format=image_format)
    assert contents(path)[f"images/000/00000000{suffix}"] == before
    assert indexed(path) == [0, 1, 2, 3, 4]


def test_only_what_is_missing_is_asked_for_again(dataset: Any, manifest: Any) -> None:
    path = dataset([3, 1])
    with DatasetWriter(path, manifest()) as writer:
        assert writer.missing() == [0, 2, 4]
        assert writer.missing(1, 3) == [2]
        assert writer.missing(3, 100) == [4]
        assert writer.notes == []


def test_the_index_is_sorted_whatever_the_order_of_writing(dataset: Any) -> None:
    assert indexed(dataset([4, 0, 2])) == [0, 2, 4]


def test_parts_in_any_order_give_the_bytes_of_one_run(dataset: Any, tmp_path: Path) -> None:
    path = dataset([4, 1])
    dataset([0])
    dataset()
    parts = contents(path)
    path.rename(tmp_path / "parts")
    whole = contents(dataset())
    del parts["metadata-0.jsonl"], whole["metadata-0.jsonl"]
    assert parts == whole


def test_row_i_of_the_soft_labels_is_image_i_and_a_missing_row_is_nan(dataset: Any, item: Any) -> None:
    labels = np.load(dataset([4, 1]) / "soft_labels.npy")
    assert labels.shape == (5, 4)
    assert labels.dtype == np.float32
    assert np.isnan(labels).all(axis=1).tolist() == [True, False, True, True, False]
    np.testing.assert_array_equal(labels[4], item(4)[0].soft_label(4))


def test_a_larger_count_extends_and_keeps_what_was_there(dataset: Any) -> None:
    path = dataset()
    before = {name: data for name, data in contents(path).items() if name.startswith(("images", "masks"))}
    dataset(count=8)
    after = contents(path)
    assert Manifest.read(path).count == 8
    assert indexed(path) == list(range(8))
    assert {name: after[name] for name in before} == before


def test_a_smaller_count_is_refused_and_nothing_changes(dataset: Any, manifest: Any) -> None:
    path = dataset()
    before = contents(path)
    with pytest.raises(InputError, match="of 5 samples, and this run asks for 4"):
        DatasetWriter(path, manifest(count=4)).__enter__()
    assert contents(path) == before


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"config": {"alpha": 0.5}, "plan_hash": "b"}, "config.alpha: the data set has 1.0, this run has 0.5"),
        ({"render": {"steps": 4}, "render_hash": "b"}, "render.steps: the data set has 25, this run has 4"),
        ({"model_fingerprint": "m", "render_hash": "b"}, 'model_fingerprint: the data set has null, this run has "m"'),
        ({"classes": ("a",), "plan_hash": "b"}, 'classes[3]: the data set has ".hidden", this run has no such field'),
        ({"image_format": "webp"}, 'image_format: the data set has "png", this run has "webp"'),
        ({"seed": 1, "plan_hash": "b"}, "seed: the data set has 0, this run has 1"),
        ({"batch_shape": 4, "render_hash": "b"}, "batch_shape: the data set has 2, this run has 4"),
    ],
)
def test_another_run_is_refused_field_by_field_and_nothing_changes(
    fields: Any, line: str, dataset: Any, manifest: Any
) -> None:
    path = dataset()
    before = contents(path)
    with pytest.raises(InputError) as refused:
        DatasetWriter(path, manifest(**fields)).__enter__()
    assert f"\n  {line}\n" in str(refused.value)
    assert "Take a new folder" in str(refused.value)
    assert contents(path) == before


def test_a_folder_with_other_files_is_refused_and_untouched(manifest: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"neither empty nor a data set .*thesis\.tex"):
        DatasetWriter(tmp_path, manifest()).__enter__()
    assert contents(tmp_path) == {"thesis.tex": b"precious"}


def test_a_file_in_place_of_the_folder_is_told(manifest: Any, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match="cannot be written"):
        DatasetWriter(tmp_path / "data", manifest()).__enter__()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_a_run_derived_files_are_written(error: Any, manifest: Any, item: Any, tmp_path: Path) -> None:
    def run() -> None:
        with DatasetWriter(tmp_path / "data", manifest()) as writer:
            writer.write_batch([item(3)])
            raise error

    with pytest.raises(error):
        run()
    assert indexed(tmp_path / "data") == [3]
    assert (tmp_path / "data/preview.png").is_file()
    assert not list((tmp_path / "data").glob("*.lock"))


def test_a_record_that_does_not_belong_is_refused_before_anything_is_written(
    manifest: Any, item: Any, tmp_path: Path
) -> None:
    with DatasetWriter(tmp_path / "data", manifest()) as writer:
        for wrong in (item(5), item(1, plan_hash="other"), item(1, class_ids=(0, 4))):
            with pytest.raises(InputError):
                writer.write_batch([item(0), wrong])
        assert writer.missing() == [0, 1, 2, 3, 4]
    assert not (tmp_path / "data/images").exists()


def test_a_failed_sample_is_noted_with_all_seeds_that_were_tried_and_stays_missing(
    manifest: Any, item: Any, tmp_path: Path
) -> None:
    with DatasetWriter(tmp_path / "data", manifest()) as writer:
        writer.fail(2, "the image is NaN", [11, 12])
        writer.write_batch([item(3)])
        writer.fail(3, "the image is NaN", [13, 14], kept=True)
        assert writer.missing() == [0, 1, 2, 4]
    first, second = map(json.loads, (tmp_path / "data/failures.jsonl").read_text().splitlines())
    assert first == {"index": 2, "reason": "the image is NaN", "seeds": [11, 12], "kept": False}
    assert second == {"index": 3, "reason": "the image is NaN", "seeds": [13, 14], "kept": True}


def test_masks_are_optional(manifest: Any, item: Any, tmp_path: Path) -> None:
    record, image, _ = item(0)
    with DatasetWriter(tmp_path / "data", manifest(count=1)) as writer:
        writer.write_batch([(record, image, None)])
    with DatasetWriter(tmp_path / "data", manifest(count=1)) as writer:
        assert writer.missing() == []
    assert not (tmp_path / "data/masks").exists()


def test_ranks_share_a_folder_and_end_in_one_index(manifest: Any, item: Any, tmp_path: Path) -> None:
    path = tmp_path / "data"
    with DatasetWriter(path, manifest(), rank=0) as first, DatasetWriter(path, manifest(), rank=1) as second:
        first.write_batch([item(0), item(2), item(4)])
        second.write_batch([item(1), item(3)])
    assert indexed(path) == [0, 1, 2, 3, 4]
    assert [record.index for record in records(path / "metadata-1.jsonl")] == [1, 3]


def stamps(path: Path) -> dict[Path, tuple[int, int]]:
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}


def test_a_run_with_nothing_to_do_writes_nothing(dataset: Any) -> None:
    path = dataset()
    before = stamps(path)
    dataset()
    assert stamps(path) == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metadata.jsonl", None),
        ("metadata.jsonl", lambda data: data[:-1]),
        ("metadata.jsonl", lambda data: data + b"\n"),
        ("metadata.jsonl", lambda data: data.replace(b'"seed": 9', b'"seed": 8')),
        ("soft_labels.npy", None),
        ("soft_labels.npy", lambda data: data[:-4]),
        ("preview.png", None),
    ],
)
def test_derived_files_that_are_gone_or_others_are_made_again_by_a_run_with_nothing_to_do(
    name: str, damage: Any, dataset: Any
) -> None:
    path = dataset()
    before = contents(path)
    if damage is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(damage(before[name]))
        assert contents(path) != before
    dataset()
    assert contents(path) == before


def test_a_rank_that_ends_waits_for_one_that_merges_so_that_the_index_misses_nothing(
    manifest: Any, item: Any, tmp_path: Path
) -> None:
    first, second = (DatasetWriter(tmp_path, manifest(), rank=rank).__enter__() for rank in (0, 1))
    first.write_batch([item(0)])
    ending = threading.Thread(target=first.__exit__, args=(None, None, None))
    with merging(tmp_path):
        ending.start()
        ending.join(0.3)
        assert ending.is_alive()
        second.write_batch([item(1)])
    ending.join()
    assert indexed(tmp_path) == [0, 1]
    second.__exit__(None, None, None)
    assert indexed(tmp_path) == [0, 1]
    assert not list(tmp_path.glob(".ncm*"))


def test_no_file_tells_where_or_by_whom_it_was_made(dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "some-user-name")
    monkeypatch.setenv("HOME", "/home/some-user-name")
    path = dataset()
    for name, data in contents(path).items():
        for secret in (str(path), "some-user-name", socket.gethostname()):
            assert secret.encode() not in data, name


def test_a_later_thousand_has_its_own_folder(manifest: Any, item: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", manifest(count=2001)) as writer:
        writer.write_batch([item(2000)])
    image = tmp_path / "data/images/002/00002000.png"
    np.testing.assert_array_equal(np.asarray(decode_image(image.read_bytes(), "it")), item(2000)[1])


def test_a_rank_that_makes_nothing_leaves_no_log(dataset: Any, manifest: Any) -> None:
    path = dataset()
    with DatasetWriter(path, manifest(), rank=3) as writer:
        assert writer.missing() == []
    assert not (path / "metadata-3.jsonl").exists()


def test_a_helper_writes_records_and_leaves_the_derived_files_alone(manifest: Any, item: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", manifest()) as writer:
        with DatasetWriter(tmp_path / "data", manifest(), rank=1, derived=False) as helper:
            helper.write_batch([item(1)])
        assert not (tmp_path / "data/metadata.jsonl").exists()
        assert writer.missing() == [0, 1, 2, 3, 4]
    assert indexed(tmp_path / "data") == [1]
