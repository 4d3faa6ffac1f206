"""repair: what is damaged is moved aside and told, and the same generation makes it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.images import decode_mask, encode_mask
from ncm_lib.store.repair import repair
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter

IMAGE, MASK, LOG = "images/000/00000002.png", "masks/000/00000002.png", "metadata-0.jsonl"


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(change((path / name).read_bytes()))


def delete(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).unlink()


def contents(path: Path) -> dict[str, bytes]:
    """All files but the log, whose lines may come in another order, and what was moved aside."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    names = {str(file.relative_to(path)): file for file in files}
    return {name: file.read_bytes() for name, file in names.items() if name != LOG and not name.startswith("damaged")}


def moved(path: Path) -> set[str]:
    folder = path / "damaged"
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {"notes.jsonl"}


@pytest.mark.parametrize(
    ("damage", "aside", "said"),
    [
        (edit(IMAGE, lambda data: data[:-9]), {IMAGE, LOG}, f"{IMAGE}: is damaged"),
        (edit(IMAGE, lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]), {IMAGE, LOG}, "do not decode"),
        (edit(IMAGE, lambda data: data + b"x"), {IMAGE, LOG}, "the image ends at byte"),
        (edit(IMAGE, lambda data: b""), {IMAGE, LOG}, f"moved to damaged/{IMAGE}"),
        (edit(IMAGE, lambda data: b"<html></html>"), {IMAGE, LOG}, "cannot identify image file"),
        (edit(MASK, lambda data: data[:-9]), {IMAGE, MASK, LOG}, f"{IMAGE}: its mask {MASK} is damaged; moved to"),
        (edit(MASK, lambda data: encode_mask(np.ones((8, 8)))), {IMAGE, MASK, LOG}, "its mean is 1.000000"),
        (edit(MASK, lambda data: encode_mask(decode_mask(data, "it")[::-1])), {IMAGE, MASK, LOG}, "is another mask"),
        (delete(MASK), {IMAGE, LOG}, f"{IMAGE}: its mask {MASK} is gone; moved to damaged/{IMAGE}"),
        (delete(IMAGE), {LOG}, "because their images are gone: 1 (samples 2)"),
        (delete(LOG), set(), "whose own was taken: 5 (samples 0, 1, 2, 3, 4)"),
        (edit(LOG, lambda data: data[:-9]), {LOG}, "metadata-0.jsonl line 5 is no complete JSON record"),
        (edit(LOG, lambda data: data.replace(b'"seed": 9', b'"seed": 8')), {LOG}, "whose own was taken: 1 (samples 2)"),
        (edit("metadata.jsonl", lambda data: data[:-9]), set(), "metadata.jsonl, soft_labels.npy"),
        (delete("soft_labels.npy"), set(), "soft_labels.npy and the preview were written anew"),
        (delete("preview.png"), set(), "the preview were written anew"),
        (lambda path: (path / "images/000/.00000003.png.0.tmp").touch(), set(), "00000003.png.0.tmp: left over"),
    ],
)
def test_what_is_damaged_is_told_and_moved_aside_and_the_generation_makes_it_again(
    damage: Any, aside: set[str], said: str, dataset: Any
) -> None:
    path = dataset()
    before = contents(path)
    damage(path)
    done = repair(path)
    assert said in str(done)
    assert moved(path) == aside
    made_again = [finding.file for finding in verify(path).findings]
    assert made_again == ([] if done.complete else ["images"])
    assert done.complete == (IMAGE not in aside and (path / IMAGE).exists())
    dataset()
    assert contents(path) == before
    assert verify(path).ok
    assert repair(path).did == ()


def test_a_sound_data_set_is_left_as_it_is(dataset: Any) -> None:
    path = dataset()
    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in path.rglob("*")}
    done = repair(path)
    assert done.complete
    assert done.did == ()
    assert {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in path.rglob("*")} == before


def test_an_unfinished_data_set_is_sound_but_not_complete(dataset: Any) -> None:
    done = repair(dataset([0, 2]))
    assert (done.did, done.done, done.complete) == ((), 2, False)
    assert "the command that generated the data set makes the other 3" in str(done)


def test_nothing_that_was_moved_aside_is_ever_overwritten(dataset: Any) -> None:
    path = dataset()
    for text in (b"first", b"second", b"third"):
        (path / IMAGE).write_bytes(text)
        repair(path)
        dataset()
    folder = path / "damaged/images/000"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "00000002.png": b"first",
        "00000002-2.png": b"second",
        "00000002-3.png": b"third",
    }
    notes = [json.loads(line) for line in (path / "damaged/notes.jsonl").read_text().splitlines()]
    assert {note["moved_to"] for note in notes if note["file"] == IMAGE} == {
        f"damaged/images/000/{file.name}" for file in folder.iterdir()
    }


def test_an_image_of_another_size_is_moved_where_the_settings_tell_the_size(
    dataset: Any, manifest: Any, item: Any
) -> None:
    render = {"render": {"width": 16, "height": 16}}
    path = dataset([0, 1, 3, 4], **render)
    with DatasetWriter(path, manifest(**render)) as writer:
        writer.write_batch([item(2, size=24)])
    assert f"{IMAGE}: is 24 x 24 pixels and should be 16 x 16" in str(repair(path))
    assert moved(path) == {IMAGE, LOG}


def test_images_of_several_sizes_stay_where_nobody_says_which_is_right(dataset: Any, manifest: Any, item: Any) -> None:
    path = dataset([0, 1])
    with DatasetWriter(path, manifest()) as writer:
        writer.write_batch([item(2, size=24)])
    assert repair(path).did == ()


def test_the_logs_of_several_ranks_become_one(manifest: Any, item: Any, tmp_path: Path) -> None:
    for rank in (0, 1):
        with DatasetWriter(tmp_path, manifest(), rank=rank) as writer:
            writer.write_batch([item(index) for index in range(rank, 5, 2)])
    before = contents(tmp_path)
    assert repair(tmp_path).did == ()
    (tmp_path / "images/000/00000003.png").write_bytes(b"")
    repair(tmp_path)
    assert moved(tmp_path) == {"images/000/00000003.png", LOG, "metadata-1.jsonl"}
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2, 4]
    with DatasetWriter(tmp_path, manifest(), rank=1) as writer:
        writer.write_batch([item(index) for index in writer.missing()])
    after = contents(tmp_path)
    del before["metadata-1.jsonl"], after["metadata-1.jsonl"]
    assert after == before


def test_foreign_files_stay_where_they_are(dataset: Any) -> None:
    path = dataset()
    for name in ("notes.txt", "images/000/Thumbs.db", "masks/.DS_Store"):
        (path / name).touch()
    done = repair(path)
    assert done.complete
    assert len(done.foreign) == 3
    assert (path / "images/000/Thumbs.db").exists()


@pytest.mark.parametrize("rank", [0, 7])
def test_a_data_set_that_is_being_written_is_refused(rank: int, dataset: Any, manifest: Any) -> None:
    path = dataset()
    (path / IMAGE).write_bytes(b"")
    with DatasetWriter(path, manifest(), rank=rank), pytest.raises(InputError, match="is being written by process"):
        repair(path)
    assert not (path / "damaged").exists()


def test_nothing_is_moved_through_a_symlink_that_leaves_the_folder(dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    (tmp_path / "outside").mkdir()
    (path / "damaged").symlink_to(tmp_path / "outside")
    (path / IMAGE).write_bytes(b"precious")
    with pytest.raises(InputError, match="symlink"):
        repair(path)
    assert (path / IMAGE).read_bytes() == b"precious"


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        repair(tmp_path)
