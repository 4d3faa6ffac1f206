"""From a path to a listing: what is found, what is refused, and what is left out on request."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from ncm_lib import ClassList, InputError, load_source
from ncm_lib.sources.labels import LabelColumn, resolve


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("gone", "There is nothing at "),
        ("https://example.com/birds", "Only local files are read: download others first."),
        ("user/birds", "There is nothing at "),
        ("a\0b", "There is nothing at "),
        ("x" * 5000, "cannot be opened (File name too long)"),
        ("1.png", "is a file that holds no list of images; legal: a folder with one sub-folder per class;"),
        ("birds.zip", "Unpack archives first."),
        ("birds.tar.gz", "Unpack archives first."),
        ("classes.json", "is a file that holds no list of images"),
    ],
)
def test_a_place_that_is_no_source_is_refused_with_what_is_legal(write, place, part):
    root = write({"1.png": 1, "birds.zip": b"PK", "birds.tar.gz": b"\x1f\x8b", "classes.json": b"[]"})
    with pytest.raises(InputError) as error:
        load_source(f"{root}/{place}")
    assert part in str(error.value)


def test_a_data_set_of_generated_images_is_no_source(write):
    root = write({"images/000/1.png": 1, "dataset.json": b'{"format": "ncm-1"}', "metadata.jsonl": b"{}"})
    with pytest.raises(
        InputError, match=r"generated images with soft labels, not of real ones; read it with Synthetic"
    ):
        load_source(root)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 3}', b"\xff", b"[" * 100_000])
def test_another_program_s_dataset_json_is_passed_over(write, content):
    assert len(load_source(write({"robin/1.png": 1, "dataset.json": content}))) == 1


def test_two_kinds_of_shards_are_one_too_many(write):
    with pytest.raises(InputError, match=r"holds \.parquet and \.tar files; give one kind in a folder of its own"):
        load_source(write({"a.parquet": b"", "b.tar": b""}))


def test_shards_beside_class_folders_are_left_out(write):
    birds = load_source(write({"robin/1.png": 1, "backup.tar": b"x"}))
    assert birds.form == "image folder"
    assert birds.notes == ("files beside the class folders, left out: 1 (backup.tar)",)


def test_a_split_of_what_has_none_is_refused(write):
    table = write({"1.png": 1, "list.csv": b"file_name,label\n1.png,a\n"}) / "list.csv"
    with pytest.raises(InputError, match=r"list\.csv has no split 'train'; say which \(split=\): there are none\."):
        load_source(table, split="train")


class TestClasses:
    def test_a_class_list_gives_the_ids(self, write):
        birds = load_source(write({"robin/1.png": 1, "wren/1.png": 2}), classes=ClassList.of(["wren", "robin"]))
        assert birds.classes.names == ("wren", "robin")
        assert Path(birds[0].where).parent.name == "wren"

    @pytest.mark.parametrize(
        ("names", "part"),
        [
            (["robin", "wren", "owl", "jay"], "birds has no 'owl', 'jay'. It needs each of the 4 classes once"),
            (["robin"], "birds has the unknown 'wren'"),
            (["Robin", "wren"], "birds has no 'Robin'; has the unknown 'robin'"),
        ],
    )
    def test_missing_and_unknown_classes_are_refused_by_name(self, write, names, part):
        with pytest.raises(InputError) as error:
            load_source(write({"robin/1.png": 1, "wren/1.png": 2}), classes=ClassList.of(names))
        assert part in str(error.value)

    def test_numbers_are_sorted_as_numbers(self):
        labels = LabelColumn()
        for label in (10, 9, 10, 100):
            labels.add(label)
        assert labels.ordered().values == (9, 10, 100)
        assert labels.ordered().ids.tolist() == [1, 0, 1, 2]

    @pytest.mark.parametrize("texts", [("1", "0"), ("01", "0"), (1, 0)])
    def test_numbers_mean_ids_where_no_class_is_called_so(self, texts):
        labels = LabelColumn()
        for label in texts:
            labels.add(label)
        assert resolve(labels.ordered(), ClassList.of(["a", "b"]), "x")[1].tolist() == [1, 0]

    @pytest.mark.parametrize("digits", ["²", "١", "1.0", "-1", "+1", "1 "])
    def test_only_plain_digits_are_numbers(self, digits):
        labels = LabelColumn()
        labels.add(digits)
        assert resolve(labels.ordered(), None, "x")[0].names == (digits,)

    def test_names_and_numbers_are_not_mixed(self):
        labels = LabelColumn()
        labels.add("robin")
        labels.add(1)
        with pytest.raises(InputError, match=r"names and numbers mixed \(1, robin\)"):
            resolve(labels.ordered(), None, "x")


BAD = {"robin/2.jpg": b"<!DOCTYPE html>", "robin/3.png": b"", "wren/4.webp": b"RIFF\x10\0\0\0WEBPVP8 "}


class TestBadImages:
    def test_all_are_counted_and_the_first_are_named(self, write):
        root = write({"robin/1.png": 1, "wren/1.png": 2, **BAD, "wren/5.png": b"", "wren/6.heic": b"heic"})
        with pytest.raises(InputError) as error:
            load_source(root)
        text = str(error.value)
        assert text.startswith(f"5 of 7 files in {root} cannot be used: {root}/robin/2.jpg is not a JPEG")
        assert f"{root}/robin/3.png is empty (0 bytes)" in text
        assert text.endswith(
            'and 2 more. Save them again as JPEG or PNG or delete them, or leave them out (bad_images="skip").'
        )
        assert "\n" not in text

    def test_they_are_left_out_where_that_is_asked_for(self, write):
        birds = load_source(write({"robin/1.png": 1, "wren/1.png": 2, **BAD}), bad_images="skip")
        assert birds.class_counts().tolist() == [1, 1]
        assert birds.notes[0].startswith("files that cannot be used, left out: 3 (")

    def test_a_source_without_a_good_one_is_refused_all_the_same(self, write):
        with pytest.raises(InputError, match="holds no images"):
            load_source(write(BAD), bad_images="skip")

    def test_damage_inside_is_found_where_decoding_is_asked_for(self, write, encode):
        data = bytearray(encode(3, size=(64, 48)))
        data[len(data) // 2] ^= 0xFF
        root = write({"robin/1.png": bytes(data), "robin/2.png": 2})
        assert len(load_source(root)) == 2
        with pytest.raises(InputError, match=r"1 of 2 files in .*robin/1\.png is cut off or damaged"):
            load_source(root, decode=True)

    def test_a_file_of_a_gigabyte_is_never_read(self, write):
        root = write({"robin/1.png": 1, "robin/2.png": b""})
        os.truncate(root / "robin" / "2.png", 2**30 + 1)  # sparse: takes no room
        with pytest.raises(InputError, match=r"robin/2\.png has 1,073,741,825 bytes; 1,073,741,824 is the most"):
            load_source(root)

    def test_animations_are_noted(self, write, encode):
        frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
        gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        birds = load_source(write({"robin/1.gif": gif, "robin/2.png": 2}))
        assert birds.notes[0].startswith("images of several frames or pages, of which the first is used: 1 (")


class TestRepeatedContent:
    def test_in_one_class_it_counts_once_with_a_note(self, write):
        birds = load_source(write({"robin/b.png": 1, "robin/a.png": 1, "robin/sub/c.png": 1, "wren/1.png": 2}))
        assert birds.class_counts().tolist() == [1, 1]
        assert birds[0].where.endswith("robin/a.png")
        assert any(
            note.startswith("files that repeat another one of their class, left out: 2 (") for note in birds.notes
        )

    def test_in_two_classes_it_is_refused_with_both_files(self, write):
        root = write({"robin/1.png": 1, "robin/2.png": 2, "wren/3.png": 1})
        with pytest.raises(InputError) as error:
            load_source(root)
        assert str(error.value) == (
            f"Images in two classes: 1 ({root}/robin/1.png (robin) and {root}/wren/3.png (wren)). One label of each is "
            'wrong: delete one of the two files, or leave both out (conflicts="drop").'
        )

    def test_it_is_left_out_of_both_where_that_is_asked_for(self, write):
        root = write({"robin/1.png": 1, "robin/2.png": 2, "wren/3.png": 1, "wren/4.png": 4, "owl/5.png": 1})
        birds = load_source(root, conflicts="drop")
        assert birds.class_counts().tolist() == [0, 1, 1]
        assert any(
            note.startswith("files that are equal to one of another class, left out: 3 (") for note in birds.notes
        )


def test_progress_is_told_up_to_the_last_file(write):
    seen: list[tuple[int, int]] = []
    load_source(
        write({f"robin/{k}.png": k for k in range(130)}), on_progress=lambda done, count: seen.append((done, count))
    )
    assert seen == [(64, 130), (128, 130), (130, 130)]


def test_an_interrupted_listing_ends_at_once(write):
    root = write({f"robin/{k}.png": k for k in range(130)})

    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_source(root, on_progress=stop)
    assert len(load_source(root)) == 130
