"""An image folder is walked through whatever stands in it."""

from __future__ import annotations

import os
import sys
import tempfile
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from ncm_lib import ClassList, InputError, load_source
from ncm_lib.sources.images import read_image

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and modes as POSIX has them")


def notes(source: Path) -> str:
    return "\n".join(load_source(source).notes)


def test_one_sub_folder_per_class_in_sorted_order(write):
    birds = load_source(write({"wren/1.png": 1, "robin/b.png": 2, "robin/a.png": 3}))
    assert birds.form == "image folder"
    assert birds.classes == ClassList.of(["robin", "wren"])
    assert birds.class_counts().tolist() == [2, 1]
    assert birds.notes == ()


def test_nested_folders_belong_to_the_class_at_the_top_and_are_noted(write):
    root = write({"robin/1.png": 1, "robin/juvenile/2.png": 2, "robin/juvenile/nest/3.png": 3, "wren/4.png": 4})
    assert load_source(root).class_counts().tolist() == [3, 1]
    assert "images in sub-folders of a class folder, whose class they are: 2 (robin/juvenile" in notes(root)


def test_hidden_files_and_folders_are_left_out(write):
    root = write(
        {
            "robin/1.png": 1, "robin/.2.png": 2, "robin/._1.png": b"Mac", ".cache/3.png": 3, "__MACOSX/robin/4.png": 4,
            "robin/.ipynb_checkpoints/1.png": 5, ".DS_Store": b"x",
        }
    )  # fmt: skip
    birds = load_source(root)
    assert (len(birds), birds.classes.names) == (1, ("robin",))
    assert birds.notes == ("hidden files and folders, left out: 6 (.DS_Store, .cache, __MACOSX and 3 more)",)


def test_foreign_files_are_left_out_and_named(write):
    root = write({"robin/1.png": 1, "robin/Thumbs.db": b"\xd0\xcf", "robin/notes.txt": b"Python", "readme.md": b"BM"})
    assert len(load_source(root)) == 1
    assert "files beside the class folders, left out: 1 (readme.md)" in notes(root)
    assert "files that are no images, left out: 2 (robin/Thumbs.db, robin/notes.txt)" in notes(root)


def test_images_without_a_suffix_or_with_a_foreign_one_are_images(write, encode):
    root = write({"robin/0001": 1, "robin/0002.dat": encode(2, "JPEG"), "robin/0003.png": encode(3, "WEBP")})
    assert len(load_source(root)) == 3


def test_images_directly_in_the_root_belong_to_no_class(write):
    root = write({"robin/1.png": 1, "stray.png": 2})
    assert len(load_source(root)) == 1
    assert "files beside the class folders, left out: 1 (stray.png)" in notes(root)


def test_one_class_and_one_image_are_enough(write):
    assert load_source(write({"robin/1.png": 1})).class_counts().tolist() == [1]


def test_an_empty_class_keeps_its_id_and_is_noted(write):
    root = write({"robin/1.png": 1, "wren/1.png": 2})
    (root / "owl").mkdir()
    birds = load_source(root)
    assert birds.classes == ClassList.load(root)
    assert birds.class_counts().tolist() == [0, 1, 1]
    assert list(birds.of_class(0)) == []
    assert birds.notes == ("classes without images: 1 (owl)",)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "has no sub-folders, so it holds no classes. Legal: one sub-folder per class;"),
        ({"1.png": 1, "2.jpg": 2}, "holds no classes, and 2 images that nothing labels. Legal: "),
        ({"robin/notes.txt": b"x"}, "holds no images; legal: "),
        ({"train/robin/1.png": 1, "test/robin/2.png": 2}, "give one of them, as "),
        ({"train/robin/1.png": 1}, "The sub-folders train of"),
        ({"Train/robin/1.png": 1, "val/robin/2.png": 2, "icons/3.png": 3}, "with split='Train'"),
    ],
)
def test_a_folder_without_classes_is_refused(write, files, part):
    with pytest.raises(InputError) as error:
        load_source(write(files))
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_class_may_be_called_like_a_split(write):
    assert load_source(write({"train/1.png": 1, "bus/1.png": 2})).classes.names == ("bus", "train")


def test_a_split_of_the_folder_can_be_asked_for(write):
    root = write({"train/robin/1.png": 1, "test/robin/2.png": 2, "test/wren/3.png": 3})
    assert load_source(root, split="test").class_counts().tolist() == [1, 1]
    with pytest.raises(InputError, match=r"has no split 'val'; say which \(split=\): test, train\."):
        load_source(root, split="val")


@pytest.mark.parametrize("split", ["..", "test/robin", "."])
def test_a_split_is_a_name_and_no_path(write, split):
    with pytest.raises(InputError, match="has no split"):
        load_source(write({"test/robin/1.png": 1}) / "test", split=split)


class TestClassNames:
    def test_case_only_differences_are_two_classes(self, write):
        root = write({"Wren/1.png": 1, "wren/2.png": 2})
        if len(list(root.iterdir())) == 1:
            pytest.skip("this file system knows no case")
        assert load_source(root).classes.names == ("Wren", "wren")

    def test_unicode_forms_are_two_classes_where_the_file_system_keeps_both(self, write):
        composed = "größe"
        root = write({f"{composed}/1.png": 1, f"{unicodedata.normalize('NFD', composed)}/2.png": 2})
        if len(list(root.iterdir())) == 1:
            pytest.skip("this file system normalises names")
        birds = load_source(root)
        assert len(birds.classes) == 2
        assert load_source(root, classes=birds.classes) == birds

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_a_class_list_finds_its_folders_in_either_unicode_form(self, write, form):
        root = write({f"{unicodedata.normalize(form, 'größe')}/1.png": 1, "wren/2.png": 2})
        for other in ("NFC", "NFD"):
            classes = ClassList.of(["wren", unicodedata.normalize(other, "größe")])
            birds = load_source(root, classes=classes)
            assert birds.classes is classes
            assert birds.class_counts().tolist() == [1, 1]

    def test_two_folders_do_not_become_one_class_silently(self, write):
        composed = "größe"
        root = write({f"{composed}/1.png": 1, f"{unicodedata.normalize('NFD', composed)}/2.png": 2})
        if len(list(root.iterdir())) == 1:
            pytest.skip("this file system normalises names")
        with pytest.raises(InputError, match="has twice 'größe'"):
            load_source(root, classes=ClassList.of([composed]))

    def test_spaces_quotes_emoji_and_dashes_are_names_as_they_are(self, write):
        names = ["T-shirt", "a b", "it's", "_", "-", "🎽", 'say "hi"']
        assert load_source(write({f"{name}/1.png": k for k, name in enumerate(names)})).classes.names == tuple(
            sorted(names)
        )

    def test_names_of_digits_are_names(self, write):
        assert load_source(write({"7/1.png": 1, "10/1.png": 2})).classes.names == ("10", "7")

    @posix
    def test_a_name_that_is_no_text_is_refused(self, tmp_path, encode):
        folder = tmp_path / os.fsdecode(b"r\xff")
        folder.mkdir()
        (folder / "1.png").write_bytes(encode(1))
        with pytest.raises(InputError, match=r"folder name 'r\\udcff' .* is no readable text"):
            load_source(tmp_path)

    @posix
    def test_file_names_that_are_no_text_are_read_and_shown_on_one_line(self, write):
        root = write({"robin/1.png": 1})
        (root / "robin" / os.fsdecode(b"\xff\n.png")).write_bytes(b"<html>")
        with pytest.raises(InputError) as error:
            load_source(root)
        assert r"robin/\udcff\n.png is not a JPEG" in str(error.value)
        assert str(error.value).encode()
        (root / "robin" / os.fsdecode(b"\xff\n.png")).write_bytes((root / "robin" / "1.png").read_bytes())
        assert len(load_source(root)) == 1


@posix
class TestLinks:
    def test_links_to_folders_and_files_are_followed(self, write, tmp_path):
        root = write({"robin/1.png": 1})
        elsewhere = tmp_path / "elsewhere"
        (root / "robin").rename(elsewhere)
        (root / "robin").symlink_to(elsewhere)
        (root / "wren").mkdir()
        (tmp_path / "2.png").write_bytes((elsewhere / "1.png").read_bytes() + b"\0")
        (root / "wren" / "2.png").symlink_to(tmp_path / "2.png")
        assert load_source(root).class_counts().tolist() == [1, 1]

    def test_links_in_a_circle_end(self, write):
        root = write({"robin/1.png": 1, "robin/nest/2.png": 2})
        (root / "robin" / "nest" / "up").symlink_to(root / "robin")
        (root / "robin" / "nest" / "root").symlink_to(root)
        (root / "robin" / "self").symlink_to("self")
        assert len(load_source(root)) == 2
        assert "links back to a folder that they are in, not followed: 2 (" in notes(root)
        assert "links that lead nowhere, left out: 1 (robin/self)" in notes(root)

    def test_a_class_that_links_to_the_root_is_an_empty_class(self, write):
        root = write({"robin/1.png": 1})
        (root / "all").symlink_to(root)
        assert load_source(root).class_counts().tolist() == [0, 1]

    def test_an_image_that_leads_nowhere_is_refused_by_name(self, write, tmp_path):
        root = write({"robin/1.png": 1})
        (root / "robin" / "2.png").symlink_to(tmp_path / "gone.png")
        with pytest.raises(InputError, match=r"1 of 2 files .*robin/2\.png is not there"):
            load_source(root)

    def test_pipes_and_devices_are_never_opened(self, write):
        root = write({"robin/1.png": 1})
        os.mkfifo(root / "robin" / "2.png")
        (root / "robin" / "3.png").symlink_to("/dev/zero")
        assert len(load_source(root)) == 1
        assert "pipes, sockets and devices, left out: 2 (robin/2.png, robin/3.png)" in notes(root)


@contextmanager
def as_somebody_else() -> Generator[None]:
    """Root may read everything; for the block, this process is nobody."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@posix
class TestPermissions:
    @pytest.fixture
    def public(self, encode) -> Generator[Path]:
        """A class folder of two images that everybody may read, below no folder that others may not enter."""
        read_image(encode(1))  # Pillow's plug-ins load before this process gives its rights away
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            for place, seed in {"robin/1.png": 1, "robin/nest/2.png": 2}.items():
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                (root / place).write_bytes(encode(seed))
            root.chmod(0o755)
            yield root
            for path in (root / "robin", root / "robin" / "nest"):
                path.chmod(0o755)

    def test_a_file_that_may_not_be_read_is_refused_by_name(self, public):
        (public / "robin" / "1.png").chmod(0)
        with as_somebody_else():
            with pytest.raises(InputError, match=r"robin/1\.png cannot be read \(Permission denied\)"):
                load_source(public)
            assert len(load_source(public, bad_images="skip")) == 1

    def test_a_folder_that_may_not_be_opened_is_refused_by_name(self, public):
        (public / "robin" / "nest").chmod(0)
        with as_somebody_else():
            with pytest.raises(InputError, match=r"the folder .*robin/nest cannot be opened \(Permission denied\)"):
                load_source(public)
            birds = load_source(public, bad_images="skip")
        assert len(birds) == 1
        assert "files that cannot be used, left out: 1 (the folder" in birds.notes[0]

    def test_the_source_itself_may_not_be_readable(self, public):
        public.chmod(0)
        with as_somebody_else(), pytest.raises(InputError, match="cannot be opened"):
            load_source(public)

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc")
    def test_a_file_whose_reading_fails_is_refused_by_name(self, write):
        root = write({"robin/1.png": 1})
        (root / "robin" / "2.png").symlink_to("/proc/self/mem")
        with pytest.raises(InputError, match=r"robin/2\.png cannot be read \(Input/output error\)"):
            load_source(root)


def test_a_very_deep_folder_is_walked(tmp_path, encode):
    folder = tmp_path / "robin"
    deep = folder.joinpath(*["n"] * 500)
    deep.mkdir(parents=True)
    (deep / "1.png").write_bytes(encode(1))
    assert len(load_source(tmp_path)) == 1


def test_rotation_is_in_the_sizes_of_the_listing(write, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    birds = load_source(write({"robin/1.jpg": encode(Image.new("RGB", (40, 20)), "JPEG", exif=exif)}))
    assert (birds[0].width, birds[0].height) == birds.read(0).size == (20, 40)
