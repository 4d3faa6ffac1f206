"""Torn, emptied, deleted and foreign files: what a run makes of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter, Item

MANIFEST = Manifest(
    classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", render_hash="r", batch_shape=2, count=4
)
IMAGE = "images/000/00000002.png"
MASK = "masks/000/00000002.png"


def item(index: int) -> Item:
    image = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = np.ones((4, 4), np.float32)
    mask[: index % 4] = 0
    weights = (float(mask.mean()), 1 - float(mask.mean()))
    return (
        Record(file_name="-", index=index, seed=9, class_ids=(0, 1), weights=weights, method="m", plan_hash="p"),
        image,
        mask,
    )


def run(path: Path) -> tuple[list[int], str]:
    """Make what is missing; return what that was, and the notes."""
    with DatasetWriter(path, MANIFEST) as writer:
        missing = writer.missing()
        writer.write_batch([item(index) for index in missing])
        return missing, "\n".join(writer.notes)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(tmp_path / "data")
    return tmp_path / "data"


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "metadata-0.jsonl"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def indices(path: Path) -> list[int]:
    return [json.loads(line)["index"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda data: data[:-20], "metadata-0.jsonl line 4 is no complete JSON record"),
        (lambda data: data[:-1], ""),
        (lambda data: b"", "metadata-0.jsonl is empty"),
        (lambda data: data[:-20] + b"\0" * 20, "metadata-0.jsonl line 4 is no complete JSON record"),
        (lambda data: data + b"\0" * 4096, "metadata-0.jsonl line 5 holds 4096 NUL bytes"),
        (lambda data: b"\0" * 4096, "metadata-0.jsonl line 1 holds 4096 NUL bytes"),
        (lambda data: data.replace(b'"index": 2', b'"index": "2"'), "metadata-0.jsonl line 3: index is '2'"),
        (lambda data: data.replace(b'"index": 2', b'"index": 7'), "the record of sample 7 is ignored"),
        (lambda data: data.replace(b'"plan_hash": "p"', b'"plan_hash": "q"', 1), "it belongs to another plan"),
        (lambda data: data.replace(b"images/000/00000002.png", b"../../../../etc/passwd.png"), "its file names are"),
        (lambda data: data.replace(b"[0, 1]", b"[0, 9]", 1), "it names class 9 of 2"),
        (lambda data: b"\xff\xfe" + data, "metadata-0.jsonl line 1"),
        (lambda data: data + data, ""),
        (lambda data: data * 1 + b"null\n" * 100, "95 more damaged lines"),
    ],
)
def test_a_damaged_log_loses_nothing_and_the_note_has_file_and_line(
    damage: Callable[[bytes], bytes], note: str, data: Path
) -> None:
    before = contents(data)
    log = data / "metadata-0.jsonl"
    log.write_bytes(damage(log.read_bytes()))
    (data / "metadata.jsonl").unlink()
    missing, notes = run(data)
    assert missing == []
    assert note in notes
    assert contents(data) == before
    # a second look finds a whole log behind the damage
    run(data)
    assert indices(data / "metadata.jsonl") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda data: data[:-20], "metadata.jsonl line 4 is no complete JSON record"),
        (lambda data: b"", "4 images had no line in the log"),
        (lambda data: b"\0" * len(data), "metadata.jsonl line 1 holds"),
        (lambda data: data[:700] + bytes(300) + data[1000:], "metadata.jsonl line 2 is no complete JSON record"),
    ],
)
@pytest.mark.parametrize("log", ["gone", "empty"])
def test_a_damaged_index_without_a_log_loses_nothing(
    damage: Callable[[bytes], bytes], note: str, log: str, data: Path
) -> None:
    before = contents(data)
    (data / "metadata-0.jsonl").unlink()
    if log == "empty":
        (data / "metadata-0.jsonl").touch()
    (data / "metadata.jsonl").write_bytes(damage(before["metadata.jsonl"]))
    missing, notes = run(data)
    assert missing == []
    assert note in notes
    assert log == "gone" or "metadata-0.jsonl is empty" in notes
    assert contents(data) == before
    assert verify(data).ok


def test_a_log_that_a_rank_left_empty_is_no_damage(data: Path) -> None:
    (data / "metadata-7.jsonl").touch()
    assert run(data) == ([], "")


def test_the_line_after_a_torn_one_is_not_glued_to_it(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, MANIFEST) as writer:
        writer.write_batch([item(0), item(1)])
    with (tmp_path / "metadata-0.jsonl").open("ab") as log:
        log.write(b'{"file_name": "images/000/0000')
    assert run(tmp_path)[0] == [2, 3]
    assert indices(tmp_path / "metadata-0.jsonl") == [0, 1, 2, 3]


def test_an_index_and_log_that_are_gone_are_rebuilt_from_the_images(data: Path) -> None:
    before = contents(data)
    for file in data.glob("metadata*"):
        file.unlink()
    missing, notes = run(data)
    assert missing == []
    assert "4 images had no line in the log; the record in the file was taken" in notes
    assert contents(data) == before


@pytest.mark.parametrize("log", ["kept", "gone"])
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-7], lambda data: b"", lambda data: data + b"x", lambda data: data[: len(data) // 2]],
    ids=["truncated", "empty", "trailing garbage", "half"],
)
def test_a_damaged_image_is_not_done_and_made_again(damage: Callable[[bytes], bytes], log: str, data: Path) -> None:
    before = contents(data)
    (data / IMAGE).write_bytes(damage(before[IMAGE]))
    if log == "gone":
        for file in data.glob("metadata*"):
            file.unlink()
    missing, notes = run(data)
    assert missing == [2]
    assert f"{IMAGE} is damaged" in notes
    assert contents(data) == before


def test_an_image_of_another_plan_in_the_place_of_ours_is_made_again(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    other = MANIFEST.model_copy(update={"plan_hash": "q"})
    with DatasetWriter(tmp_path / "other", other) as writer:
        record, image, mask = item(2)
        writer.write_batch([(dataclasses.replace(record, plan_hash="q"), image[:4], mask)])
    (data / IMAGE).write_bytes((tmp_path / "other" / IMAGE).read_bytes())
    missing, notes = run(data)
    assert missing == [2]
    assert "it belongs to another plan" in notes
    assert contents(data) == before


def test_an_image_renamed_to_another_index_is_not_taken_for_it(data: Path) -> None:
    before = contents(data)
    (data / IMAGE).write_bytes(before["images/000/00000003.png"] + b"")
    (data / "metadata-0.jsonl").unlink()
    (data / "metadata.jsonl").unlink()
    missing, notes = run(data)
    assert missing == [2]
    assert f"{IMAGE} is another sample" in notes
    assert contents(data) == before


@pytest.mark.parametrize("empty", [True, False])
def test_a_mask_that_is_gone_is_made_again_with_its_image(empty: bool, data: Path) -> None:
    before = contents(data)
    if empty:
        (data / MASK).write_bytes(b"")
    else:
        (data / MASK).unlink()
    missing, notes = run(data)
    assert missing == [2]
    assert "has lost its mask" in notes
    assert contents(data) == before


def test_left_over_temp_files_are_cleaned_and_never_read(data: Path) -> None:
    before = contents(data)
    for name in ("images/000/.00000003.png.0.tmp", "masks/000/.00000003.png.0.tmp", ".dataset.json.0.tmp"):
        (data / name).write_bytes(b"half of a")
    other_rank = data / "images/000/.00000003.png.1.tmp"
    other_rank.write_bytes(b"being written")
    missing, notes = run(data)
    assert missing == []
    assert notes.count("left over from a run that was cut short; removed") == 3
    assert other_rank.read_bytes() == b"being written"
    other_rank.unlink()
    assert contents(data) == before


def test_foreign_files_are_reported_and_left_alone(data: Path) -> None:
    foreign = [
        "images/000/.DS_Store", "images/000/Thumbs.db", "images/000/00000001 (copy).png", "images/000/2.png",
        "images/000/00000099.png", "images/000/00000001.jpg", "images/000/٠٠٠٠٠٠٠١.png", "images/old/00000001.png",
        "masks/notes.txt", "images/001/00000002.png", ".DS_Store", "README.md",
    ]  # fmt: skip
    for name in foreign:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"foreign")
    before = contents(data)
    missing, notes = run(data)
    assert missing == []
    assert contents(data) == before
    for folder, number in (("images/000", 7), ("images", 1), ("images/001", 1), ("masks", 1), ("data", 2)):
        assert f"{folder}: {number} foreign entries are ignored" in notes
    assert verify(data).ok


def test_an_image_that_is_a_symlink_is_not_done(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    (data / IMAGE).rename(tmp_path / "elsewhere.png")
    (data / IMAGE).symlink_to(tmp_path / "elsewhere.png")
    assert run(data)[0] == [2]
    assert not (data / IMAGE).is_symlink()
    assert contents(data) == before


@pytest.mark.parametrize("name", ["images", "images/000"])
def test_nothing_is_written_through_a_symlink_that_leaves_the_folder(name: str, data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (data / name).rename(tmp_path / "aside")
    (data / name).symlink_to(outside)
    with pytest.raises(InputError, match="symlink"):
        run(data)
    assert list(outside.iterdir()) == []


def test_a_torn_head_is_refused_and_nothing_is_touched(data: Path) -> None:
    head = data / "dataset.json"
    head.write_bytes(head.read_bytes()[:50])
    before = contents(data)
    with pytest.raises(InputError, match=r"dataset\.json is not a data set's head"):
        run(data)
    assert contents(data) == before
