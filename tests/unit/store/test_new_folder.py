"""A folder that is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.new_folder import leftovers, new_folder


def test_the_folder_is_there_when_the_block_has_ended_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    with new_folder(path) as temp:
        (temp / "a").mkdir()
        (temp / "a" / "file").write_text("x")
        assert not path.exists()
        assert temp.parent == path.parent
    assert (path / "a" / "file").read_text() == "x"
    assert [entry.name for entry in path.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_block_early_nothing_is_left(error: type[BaseException], tmp_path: Path) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "out") as temp:
            (temp / "file").write_text("x")
            raise error

    with pytest.raises(error):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "dangling symlink"])
def test_what_is_there_is_refused_and_stays(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    if kind == "file":
        path.write_text("mine")
    elif kind == "dangling symlink":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
        if kind == "folder":
            (path / "mine").touch()
    with pytest.raises(InputError, match=r"out exists already.*nothing was changed"), new_folder(path):
        pytest.fail("the block was entered")
    assert os.path.lexists(path)
    assert (path / "mine").exists() == (kind == "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_appears_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "out") as temp:
            (temp / "ours").touch()
            (tmp_path / "out").mkdir()

    with pytest.raises(InputError, match="exists already"):
        fill()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["out"]


def test_two_at_once_have_their_own_places_and_the_first_to_end_wins(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def fill_both() -> None:
        with new_folder(path) as slow, new_folder(path) as quick:
            (slow / "slow").touch()
            (quick / "quick").touch()

    with pytest.raises(InputError, match="exists already"):
        fill_both()
    assert [entry.name for entry in path.iterdir()] == ["quick"]
    assert leftovers(path) == []


def test_what_a_killed_process_left_is_found_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "out"
    (tmp_path / ".out.0.tmp").mkdir()
    (tmp_path / ".out.more.0.tmp").mkdir()
    (tmp_path / ".other.0.tmp").mkdir()
    with new_folder(path) as temp:
        assert temp.name == ".out.1.tmp"
    assert leftovers(path) == [tmp_path / ".out.0.tmp"]
    assert leftovers(tmp_path / "not" / "there") == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="for root every folder can be written")
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"), new_folder(tmp_path / "out"):
        pytest.fail("the block was entered")


def test_a_file_in_the_way_of_its_parents_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be written"),
        new_folder(tmp_path / "file" / "out"),
    ):
        pytest.fail("the block was entered")
