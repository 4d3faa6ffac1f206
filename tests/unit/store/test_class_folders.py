"""Folders for classes of any name."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncm_lib.store.class_folders import class_folders
from ncm_lib.store.layout import safe_join

NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
HOSTILE = (
    "/", "\\", "a/b", "a\\b", ".", "..", "...", "con", "CON", "nul.txt", "Com1", "lpt¹", "NUL .x", "conin$", "~", "~x",
    " ", "a ", " a", "a.", ".hidden", "__pycache__", "_x", "%", "%%", "%2F", "%2e", "a%%7", "cat", "Cat", "CAT",
    NFC, NFD, "ß", "SS", "ı", "i", "I", "ﬁ", "fi", "🎽", "👩\u200d👧", "👩👧", "中文", "x" * 255, "x" * 256,
    "x" * 300 + "y", "é" * 128, "/" * 200, "'\"<>&|?*:", "a\nb", "\x7f", "\0", "", "a\u202eb", "ab", "C:", "C:\\x", "http://x",
    "a b", "label", "train", "🎽" * 70, "-rf",
)  # fmt: skip


def test_ordinary_names_stay_as_they_are() -> None:
    names = ("robin", "T-shirt", "001.Black_footed_Albatross", "größe 🎽", "中文", "_x", "a'b & (c)", "v1.2", "x" * 200)
    assert class_folders(names) == names


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("__pycache__", "%5F_pycache__"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("con", "%63on"),
        ("Nul.txt", "%4Eul.txt"),
        ("100 %", "100 %25"),
        ("a\nb", "a%0Ab"),
        ("x" * 201, "x" * 197 + "%%0"),
        ("é" * 128, "é" * 98 + "%%0"),
        ("/" * 67, "%2F" * 65 + "%%0"),
        ("", "%%0"),
    ],
)
def test_the_rule_for_other_names_is_fixed(name: str, folder: str) -> None:
    assert class_folders([name]) == (folder,)


@pytest.mark.parametrize("pair", [("cat", "Cat"), (NFC, NFD), ("ß", "SS"), ("ı", "I"), ("ﬁ", "fi"), ("ab", "a\u200db")])
def test_names_that_some_file_system_cannot_tell_apart_carry_their_class_id(pair: tuple[str, str]) -> None:
    assert class_folders(("dog", *pair)) == ("dog", f"{pair[0]}%%1", f"{pair[1]}%%2")


def _one_on_any_system(folder: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFC", folder).casefold())


def check(names: tuple[str, ...], root: Path) -> None:
    folders = class_folders(names)
    assert len({_one_on_any_system(folder) for folder in folders}) == len(names)
    for folder in folders:
        safe_join(root, folder)  # the rules of the data set's own files
        assert len(folder.encode()) <= 200
        assert not folder.startswith((".", "__", "~"))


def test_no_two_hostile_names_share_a_folder_and_each_can_be_made(tmp_path: Path) -> None:
    check(HOSTILE, tmp_path)
    for folder in class_folders(HOSTILE):
        (tmp_path / folder).mkdir()
    assert sorted(class_folders(HOSTILE)) == sorted(path.name for path in tmp_path.iterdir())


@given(
    st.lists(st.one_of(st.text(max_size=12), st.text("./%_~ aA2Fé\u0301cCoOnN", max_size=5)), max_size=8, unique=True)
)
def test_no_names_at_all_share_a_folder(names: list[str]) -> None:
    check(tuple(names), Path("/nowhere"))
