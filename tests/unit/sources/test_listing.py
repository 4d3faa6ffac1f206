"""A listing: what is in it, how it is read, and which parts of it can be taken."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ncm_lib import ClassList, InputError, SourceListing, load_source
from ncm_lib.sources.images import read_image


def ppm(value: int, width: int = 1, height: int = 1) -> bytes:
    """An image file whose bytes no encoder decides."""
    return b"P6 %d %d 255\n" % (width, height) + bytes([value % 256, value // 256, 0]) * (width * height)


@pytest.fixture
def birds(write) -> SourceListing:
    """Three robins, two wrens."""
    return load_source(
        write(
            {
                "robin/a.ppm": ppm(1),
                "robin/b.ppm": ppm(2, 3, 2),
                "robin/c.ppm": ppm(3),
                "wren/a.ppm": ppm(4),
                "wren/b": ppm(5),
            }
        )
    )


def test_the_content_hash_is_the_sha256_of_the_file(birds):
    for image in birds:
        assert image.content_hash == hashlib.sha256(Path(image.where).read_bytes()).hexdigest()
        assert image.byte_size == Path(image.where).stat().st_size


def test_rows_are_sorted_by_class_and_then_by_content(birds):
    order = [(image.class_id, image.content_hash) for image in birds]
    assert order == sorted(order)
    assert [list(birds.of_class(k)) for k in range(2)] == [[0, 1, 2], [3, 4]]
    assert birds.hashes_of(1) == tuple(image.content_hash for image in birds if image.class_id == 1)


def test_the_hash_is_what_its_description_says(birds):
    text = b"ncm-sources-1\n" + json.dumps(["robin", "wren"], separators=(",", ":")).encode() + b"\n"
    for class_id, count in ((0, 3), (1, 2)):
        text += count.to_bytes(8, "little") + b"".join(map(bytes.fromhex, birds.hashes_of(class_id)))
    assert birds.hash() == hashlib.sha256(text).hexdigest()


def test_the_hash_stays_the_same_from_version_to_version(birds):
    assert birds.hash() == "a3c1d4b007711911d09c7525480f455319970fc6be38814de647f6ca2e6b88de"


def test_the_hash_tells_classes_contents_and_names_apart(write, birds):
    root = Path(birds[0].where).parents[1]
    hashes = {birds.hash(), birds.take([0, 1, 2, 3]).hash()}
    hashes.add(load_source(root, classes=ClassList.of(["wren", "robin"])).hash())
    (root / "wren").rename(root / "owl")
    hashes.add(load_source(root).hash())
    (root / "owl" / "a.ppm").rename(root / "robin" / "d.ppm")
    hashes.add(load_source(root).hash())
    assert len(hashes) == 5


def test_equal_listings_are_equal_wherever_they_are(write, birds, tmp_path):
    Path(birds[0].where).parents[1].rename(tmp_path / "moved")
    moved = load_source(tmp_path / "moved")
    assert moved == birds
    assert hash(moved) == hash(birds)
    assert moved[0].where != birds[0].where


def test_nothing_that_is_shown_or_hashed_tells_where_the_images_are(birds, tmp_path):
    assert repr(birds) == f"SourceListing(5 images, 2 classes, {birds.hash()[:16]})"
    assert str(tmp_path) not in repr(birds) + birds.form + birds.hash()


def test_an_image_is_read_by_row_or_by_hash(birds):
    row = next(row for row, image in enumerate(birds) if image.width == 3)
    content_hash = birds[row].content_hash
    for image in (row, content_hash, content_hash[:16], content_hash[:8], content_hash.upper()):
        picture = birds.read(image)
        assert (picture.mode, picture.size) == ("RGB", (3, 2))
        assert picture == read_image(Path(birds[row].where))


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (5, "There is no row 5; the listing has 5 rows, counted from 0."),
        (-1, "There is no row -1"),
        (
            "00000000",
            "0 images have a content hash that begins with 00000000; was this listing made from another source?",
        ),
        ("f" * 64, "0 images"),
        ("abcdef", "'abcdef' is no content hash; legal are 8 to 64 hexadecimal digits."),
        ("f" * 65, "is no content hash"),
        ("robin/a.ppm", "is no content hash"),
        ("", "is no content hash"),
    ],
)
def test_an_image_that_is_not_there_is_an_error(birds, image, part):
    with pytest.raises(InputError) as error:
        birds.read(image)
    assert part in str(error.value)


def test_a_short_hash_of_two_images_is_an_error(birds):
    digests = np.array(birds.digests)
    digests[1, :4] = digests[0, :4]
    twins = replace(birds, digests=digests)
    with pytest.raises(
        InputError, match=r"2 images have a content hash that begins with .{8}; give more of its digits"
    ):
        twins.row_of(twins[0].content_hash[:8])
    assert twins.row_of(twins[0].content_hash[:16]) == 0


def test_an_image_that_has_changed_or_gone_is_never_read(birds):
    file = Path(birds[0].where)
    file.write_bytes(ppm(200))
    with pytest.raises(InputError, match=r"ppm has changed since it was listed; list the source again\."):
        birds.read(0)
    file.unlink()
    with pytest.raises(InputError, match=r"ppm is not there; save it again"):
        birds.read(0)


def test_a_source_is_found_again_from_another_working_folder(write, tmp_path, monkeypatch):
    write({"robin/1.png": 1})
    monkeypatch.chdir(tmp_path)
    birds = load_source("birds")
    monkeypatch.chdir("/")
    assert birds.read(0).size == (8, 6)


def test_columns_cannot_be_changed(birds):
    for column in (birds.class_ids, birds.digests, birds.widths, birds.heights, birds.byte_sizes, birds.positions):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0
    with pytest.raises(AttributeError):
        birds.form = "x"


def test_a_listing_can_be_sent_to_a_worker(birds):
    sent = pickle.loads(pickle.dumps(birds))  # noqa: S301
    assert sent == birds
    assert sent.read(4) == birds.read(4)


def test_classes_that_do_not_exist_are_refused(birds):
    for class_id in (-1, 2):
        with pytest.raises(InputError, match=rf"There is no class {class_id}; the listing has the classes 0 to 1\."):
            birds.of_class(class_id)


def test_the_class_list_can_gain_a_metaclass_and_tokens_and_no_other_names(birds):
    classes = ClassList(names=birds.classes.names, meta_class="bird", tokens=("<a>", "<b>"))
    assert birds.with_classes(classes).classes is classes
    assert birds.with_classes(classes) == birds
    with pytest.raises(InputError, match=r"has the names wren, robin; this listing has robin, wren\. Give it to load"):
        birds.with_classes(ClassList.of(["wren", "robin"]))


class TestParts:
    @pytest.fixture
    def many(self, write) -> SourceListing:
        files = {
            f"{name}/{k}.ppm": ppm(100 * number + k) for number, name in enumerate("abc") for k in range(20 + number)
        }
        return load_source(write(files))

    def test_rows_are_taken_in_their_own_order(self, birds):
        part = birds.take([4, 0, 0])
        assert [image.content_hash for image in part] == [birds[0].content_hash, birds[4].content_hash]
        assert part.class_counts().tolist() == [1, 1]
        assert part.read(1) == birds.read(4)
        assert len(birds.take([])) == 0
        with pytest.raises(InputError, match="no row 5"):
            birds.take([0, 5])

    def test_k_shot_takes_k_of_every_class(self, many):
        assert many.subset(5).class_counts().tolist() == [5, 5, 5]
        assert many.subset(5).classes == many.classes

    def test_a_long_tail_takes_what_it_is_given(self, many):
        assert many.subset([20, 3, 0]).class_counts().tolist() == [20, 3, 0]
        assert many.subset(np.array([20, 3, 1]).tolist(), seed=1).class_counts().tolist() == [20, 3, 1]

    def test_a_seed_means_the_same_images_everywhere(self, many):
        assert many.subset(5, seed=3) == many.subset(5, seed=3)
        assert [image.content_hash[:8] for image in many.subset(1, seed=0)] == ["035c17e7", "b7d3fe05", "a79f5cac"]

    def test_seeds_differ(self, many):
        assert len({many.subset(5, seed=seed).hash() for seed in range(50)}) == 50

    def test_every_image_is_chosen_equally_often(self, many):
        chosen = np.zeros(len(many), dtype=int)
        for seed in range(400):
            rows = [many.row_of(image.content_hash) for image in many.subset(5, seed=seed)]
            chosen[rows] += 1
        expected = 400 * 5 / many.class_counts()[many.class_ids]
        assert float(((chosen - expected) ** 2 / expected).sum()) < 100  # 60 degrees of freedom

    @pytest.mark.parametrize(
        ("per_class", "seed", "part"),
        [
            (
                21,
                0,
                "Classes with fewer images than were asked for: 1 (a has 20 of 21). Ask for fewer, or give a count",
            ),
            ([1, 30, 30], 0, "Classes with fewer images than were asked for: 2 (b has 21 of 30, c has 22 of 30)."),
            ([1, 2], 0, "2 counts came for 3 classes; give one per class."),
            (0, 0, "0 images of a class were asked for; ask for at least 1"),
            ([1, -1, 1], 0, "-1 images of a class were asked for"),
            (1, -1, "The seed is -1; take an integer of at least 0."),
        ],
    )
    def test_what_cannot_be_chosen_is_refused(self, many, per_class, seed, part):
        with pytest.raises(InputError) as error:
            many.subset(per_class, seed=seed)
        assert part in str(error.value)
