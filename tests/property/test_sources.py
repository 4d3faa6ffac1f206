"""A listing depends on what is in the files and on nothing else."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ncm_lib import ClassList, InputError, load_source
from ncm_lib.sources.files import Names
from ncm_lib.sources.images import BadImageError, Header, read_header, read_image

T = TypeVar("T")
CLASSES = ClassList.of(["robin", "wren", "größe 🎽"])


def ppm(value: int) -> bytes:
    return b"P6 1 1 255\n" + value.to_bytes(3, "big")


def outcome(read: Callable[[], T]) -> T | str:
    """What reading gives, or the text that refuses it."""
    try:
        return read()
    except (InputError, BadImageError) as error:
        return str(error)


contents = st.sets(st.integers(0, 200), min_size=3, max_size=30).map(sorted)
rooms = st.sampled_from(["", "sub", "sub/deeper", "Über", "x y"])


@settings(max_examples=15)
@given(data=st.data(), values=contents)
def test_names_folders_dates_order_and_form_do_not_matter(data, values):
    labels = [k if k < 3 else data.draw(st.integers(0, 2)) for k in range(len(values))]
    images = [(CLASSES.names[label], ppm(value)) for label, value in zip(labels, values, strict=True)]
    hashes = set()
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(2):
            shuffled = data.draw(st.permutations(images))
            root = Path(folder, f"folder{attempt}")
            with tarfile.open(Path(folder, f"{attempt}.tar"), "w") as tar:
                for number, (name, content) in enumerate(shuffled):
                    room, word = data.draw(rooms), f"{(number * 7919 + attempt) % 1000:03d}"
                    file = root / name / room / f"{word}{data.draw(st.sampled_from(['', '.jpg', '.PNG']))}"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                    os.utime(file, (number, number))
                    for kind, member in (("ppm", content), ("txt", name.encode())):
                        info = tarfile.TarInfo(f"{word}.{kind}")
                        info.size = len(member)
                        tar.addfile(info, io.BytesIO(member))
            hashes |= {load_source(source, classes=CLASSES).hash() for source in (root, Path(folder, f"{attempt}.tar"))}
    assert len(hashes) == 1


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    for label, name in enumerate(CLASSES.names):
        (root / name).mkdir()
        for k in range(12 + label):
            (root / name / f"{k}.ppm").write_bytes(ppm(1000 * label + k))
    return load_source(root, classes=CLASSES)


seeds = st.integers(0, 2**64)
counts = st.lists(st.integers(0, 12), min_size=3, max_size=3)


@given(wanted=counts, seed=seeds)
def test_a_subset_has_the_counts_that_were_asked_for_and_is_a_part(many, wanted, seed):
    part = many.subset(wanted, seed=seed)
    assert part.class_counts().tolist() == wanted
    assert {image.content_hash for image in part} <= {image.content_hash for image in many}
    assert part == many.subset(wanted, seed=seed)


@given(few=st.integers(1, 12), more=st.integers(1, 12), seed=seeds)
def test_fewer_images_of_a_seed_are_a_part_of_more(many, few, more, seed):
    few, more = sorted((few, more))
    parts = [{image.content_hash for image in many.subset(count, seed=seed)} for count in (few, more)]
    assert parts[0] <= parts[1]


@given(keep=st.sets(st.integers(0, 38), min_size=1), seed=seeds)
def test_what_is_chosen_of_a_part_is_what_would_be_chosen_of_the_whole(many, keep, seed):
    part = many.take(sorted(keep))
    wanted = [min(2, int(count)) for count in part.class_counts()]
    chosen = {image.content_hash for image in part.subset(wanted, seed=seed)}
    whole = {image.content_hash for image in many.subset(2, seed=seed)}
    assert whole & {image.content_hash for image in part} <= chosen


@given(names=st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))))
def test_a_column_of_names_gives_them_back(names):
    column = Names()
    for name in names:
        column.add(name)
    assert [column[k] for k in range(len(column))] == names


@given(data=st.binary(max_size=200), head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM",
       b"II*\0", b"P6 ", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x1cftypavif"]))  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_are_an_image_or_one_line_that_says_why_not(data, head):
    image, header = outcome(lambda: read_image(head + data, "x")), outcome(lambda: read_header(head + data))
    if isinstance(image, str):
        assert image.startswith("x ")
        assert "\n" not in image
    else:
        assert isinstance(header, Header)
        assert image.size == (header.width, header.height)


@given(
    place=st.integers(0, 10_000),
    value=st.integers(0, 255),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"]),
)
@pytest.mark.filterwarnings("ignore")
def test_a_flipped_byte_gives_an_image_of_the_listed_size_or_one_line(place, value, kind):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((16, 12)).save(file, kind, **({} if kind == "GIF" else {"exif": exif}))
    data = bytearray(file.getvalue())
    data[place % len(data)] = value
    image, header = outcome(lambda: read_image(bytes(data), "x")), outcome(lambda: read_header(bytes(data)))
    if isinstance(image, str):
        assert "\n" not in image
    else:
        assert isinstance(header, Header)
        assert image.size == (header.width, header.height)
