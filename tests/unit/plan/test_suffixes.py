"""The file of suffixes."""

import pytest

from ncm_lib import InputError
from ncm_lib.plan.suffixes import read_suffixes


@pytest.fixture
def read(tmp_path):
    def call(data: bytes):
        (tmp_path / "s.txt").write_bytes(data)
        return read_suffixes(tmp_path / "s.txt")

    return call


@pytest.mark.parametrize(
    "data",
    [
        b"in snow\nat night\n",
        b"in snow\nat night",
        b"in snow\r\nat night\r\n",
        b"in snow\rat night\r",
        b"\xef\xbb\xbfin snow\nat night\n",
        b"\n\nin snow\n   \n\t\nat night\n\n",
        b"# a comment\nin snow\n  # another\nat night\n",
        b"  in   snow \n\tat\tnight \n",
        b"in snow\n\0\0\0\nat night\0\n",
    ],
)
def test_one_suffix_per_line_however_the_file_was_saved(read, data):
    assert read(data) == ("in snow", "at night")


def test_other_scripts_and_repeated_lines_stay(read):
    assert read("im Schnee über Äste\n雪の中\nim Schnee über Äste\n".encode()) == (
        "im Schnee über Äste", "雪の中", "im Schnee über Äste"
    )  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"# only\n#comments\n", b"\xef\xbb\xbf", b"\0\0\0"])
def test_a_file_without_a_suffix_is_refused(read, data):
    with pytest.raises(
        InputError, match=r"s\.txt holds no suffix; legal is a UTF-8 text file with one suffix per line"
    ):
        read(data)


def test_a_file_that_is_no_text_is_refused(read, tmp_path):
    with pytest.raises(InputError, match=r"s\.txt is no UTF-8 text .*; legal is"):
        read(b"in \xff snow")
    with pytest.raises(InputError, match=r"nowhere\.txt cannot be read \(No such file or directory\)"):
        read_suffixes(tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_suffixes(tmp_path)
