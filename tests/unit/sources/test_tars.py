"""WebDataset shards are read where they stand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ncm_lib import ClassList, InputError, load_source
from ncm_lib.sources.images import read_image

Members = Sequence[tuple[str, bytes]]


@pytest.fixture
def tar(tmp_path) -> Callable[..., Path]:
    """Writes a shard of these members."""

    def make(members: Members, name: str = "birds-000.tar", mode: str = "w") -> Path:
        path = tmp_path / "shards" / name
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, mode) as file:
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        return path

    return make


def test_images_find_their_labels_by_name(tar, encode):
    shard = tar([("a/1.png", encode(1)), ("a/1.cls", b"wren\n"), ("a/2.cls", b"robin"), ("a/2.jpg", encode(2, "JPEG"))])
    birds = load_source(shard)
    assert (birds.form, birds.classes.names) == ("WebDataset", ("robin", "wren"))
    assert birds.read(1) == read_image(encode(1))
    assert birds[1].where == f"{shard}, a/1.png"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("cls", b"0"),
        ("cls", b"wren\n"),
        ("json", b'{"label": 0, "width": 8}'),
        ("json", b'{"class_name": "wren", "label_id": 5}'),
        ("json", b'"wren"'),
        ("txt", "\ufeffwren".encode()),
    ],
)
def test_labels_are_numbers_or_names_in_three_kinds_of_members(tar, encode, kind, content):
    shard = tar([("1.png", encode(1)), (f"1.{kind}", content)])
    assert load_source(shard, classes=ClassList.of(["wren"])).class_counts().tolist() == [1]


def test_cls_goes_before_json_and_json_before_txt(tar, encode):
    names = ["wren", "robin", "owl"]
    shard = tar(
        [
            ("1.txt", b"a wren on a branch"), ("1.json", b'{"label": "no"}'), ("1.png", encode(1)), ("1.cls", b"wren"),
            ("2.png", encode(2)), ("2.txt", b"a robin"), ("2.json", b'{"label": "robin"}'),
            ("3.json", b'{"caption": "an owl"}'), ("3.png", encode(3)), ("3.txt", b"owl"),
        ]
    )  # fmt: skip
    assert load_source(shard, classes=ClassList.of(names)).class_counts().tolist() == [1, 1, 1]


def test_members_of_a_sample_may_stand_apart(tar, encode):
    members = [("1.png", encode(1)), ("2.png", encode(2)), ("3.png", encode(3))]
    labels = [("3.cls", b"a"), ("1.cls", b"a"), ("2.cls", b"b")]
    assert load_source(tar([*members, *labels])).class_counts().tolist() == [2, 1]
    assert load_source(tar([*labels, *members])).class_counts().tolist() == [2, 1]


def test_a_folder_of_shards_is_one_source_and_the_same_as_the_images(tar, encode, write):
    for shard in range(3):
        members = [
            (f"{k}{suffix}", content)
            for k in range(4)
            for suffix, content in ((".png", encode(10 * shard + k)), (".cls", str(k % 2).encode()))
        ]
        path = tar(members, f"birds-{shard:03d}.tar")
    birds = load_source(path.parent, classes=ClassList.of(["robin", "wren"]))
    files = {f"{('robin', 'wren')[k % 2]}/{shard}{k}.png": 10 * shard + k for shard in range(3) for k in range(4)}
    assert birds == load_source(write(files))


def test_shards_of_several_splits_are_never_mixed(tar, encode):
    for name in ("birds-train-000.tar", "birds-train-001.tar", "birds-val-000.tar"):
        path = tar([("1.png", encode(len(name))), ("1.cls", b"a")], name)
    with pytest.raises(InputError, match=r"several splits; say which \(split=\): train, val"):
        load_source(path.parent)
    assert len(load_source(path.parent, split="val")) == 1


def test_other_members_are_left_out(tar, encode):
    shard = tar([
        ("1.png", encode(1)), ("1.cls", b"a"), ("1.seg.png", encode(2)), ("README", b"x"), ("._1.png", b"Mac"),
        ("__MACOSX/1.png", b"Mac"), ("2.txt", b"a label without an image"), (".hidden/3.png", encode(3)),
    ])  # fmt: skip
    birds = load_source(shard)
    assert len(birds) == 1
    assert birds.notes == (
        "members that are neither images nor labels, left out: 2 (birds-000.tar, 1.seg.png, birds-000.tar, README)",
    )


def test_nothing_is_unpacked_whatever_the_names(tar, encode, tmp_path):
    images = [
        ("../../evil/1.png", encode(1)),
        ("../../evil/1.cls", b"a"),
        ("/etc/2.png", encode(2)),
        ("/etc/2.cls", b"a"),
    ]
    shard = tar(images)
    before = sorted(tmp_path.parent.rglob("*"))
    birds = load_source(shard)
    assert birds.read(0).size == (8, 6)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_links_in_a_tar_are_never_followed(tar, encode):
    shard = tar([("1.png", encode(1)), ("1.cls", b"a")])
    with tarfile.open(shard, "a") as file:
        for name, kind in {"2.png": tarfile.SYMTYPE, "2.cls": tarfile.LNKTYPE, "3.png": tarfile.FIFOTYPE}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            file.addfile(info)
    assert len(load_source(shard)) == 1


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ([("1.png", b"x"), ("2.png", b"x"), ("2.cls", b"a")], "has images without a label: 1 (1.png). Put a .cls"),
        ([("1.png", b"x"), ("1.jpg", b"x")], "has two images of one sample, 1.png and 1.jpg"),
        ([("1.cls", b"a")], "holds no images"),
        ([("1.png", b"x"), ("1.json", b"{")], "1.json cannot be read as json in UTF-8"),
        ([("1.png", b"x"), ("1.json", b"[" * 100_000)], "1.json cannot be read as json"),
        ([("1.png", b"x"), ("1.json", b'{"label": [1]}')], "1.json holds '[1]'; legal is a class's name on one line"),
        ([("1.png", b"x"), ("1.cls", b"\xff")], "1.cls cannot be read as cls in UTF-8"),
        ([("1.png", b"x"), ("1.cls", b"")], "1.cls holds ''"),
        ([("1.png", b"x"), ("1.txt", b"two\nlines")], "1.txt holds"),
        ([("1.png", b"x"), ("1.cls", b"9" * 2_000_000)], "2,000,000 bytes: no label is so long"),
        ([("1.png", b"x"), ("1.cls", b"a")], "1.png is not a JPEG"),
    ],
)
def test_a_shard_of_another_form_is_refused_by_what_is_wrong(tar, members, part):
    with pytest.raises(InputError) as error:
        load_source(tar(members))
    assert part in str(error.value)
    assert "birds-000.tar" in str(error.value)


def test_captions_are_not_taken_for_classes(tar, encode):
    members = [m for k in range(5) for m in ((f"{k}.png", encode(k)), (f"{k}.txt", f"a robin, the {k}th".encode()))]
    with pytest.raises(InputError, match=r"these are captions, not classes\. Put the classes in \.cls or \.json"):
        load_source(tar(members))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_shard_is_refused_with_what_to_do(tar, encode, mode):
    with pytest.raises(InputError, match=r"as an uncompressed tar file .*; unpack \.gz, \.bz2 and \.xz files first"):
        load_source(tar([("1.png", encode(1)), ("1.cls", b"a")], mode=mode))


@pytest.mark.parametrize("content", [b"", b"x" * 511, b"x" * 2000, b"<!DOCTYPE html>"])
def test_what_is_no_tar_file_is_refused(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tar (cannot be read as an uncompressed tar file|holds no images)"):
        load_source(tmp_path / "x.tar")


@pytest.mark.parametrize("size", [300, 1000, 1100, 2000, 2100, 2600])
def test_a_shard_that_is_cut_off_is_refused(tar, encode, size):
    shard = tar([(f"{k}.{kind}", content) for k in range(3) for kind, content in (("png", encode(k)), ("cls", b"a"))])
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(InputError, match=r"cannot be read as an uncompressed tar file|is damaged near byte"):
        load_source(shard)


def test_a_shard_with_a_damaged_header_inside_is_refused(tar, encode):
    shard = tar([(f"{k}.{kind}", content) for k in range(3) for kind, content in (("png", encode(k)), ("cls", b"a"))])
    data = bytearray(shard.read_bytes())
    place = data.index(b"1.png")
    data[place : place + 8] = b"\xff" * 8
    shard.write_bytes(data)
    with pytest.raises(InputError, match=rf"is damaged near byte {place}; make the shard again"):
        load_source(shard)


def test_json_labels_of_a_class_list(tar, encode):
    members = [(f"{k}.{kind}", content) for k in range(4) for kind, content in
               (("png", encode(k)), ("json", json.dumps({"label": k % 2}).encode()))]  # fmt: skip
    birds = load_source(tar(members), classes=ClassList.of(["wren", "robin"]))
    assert birds.class_counts().tolist() == [2, 2]
