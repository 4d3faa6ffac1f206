"""The file of captions."""

import json

import pytest

from ncm_lib import InputError
from ncm_lib.sources.captions import Caption, caption_lines, read_captions

OURS = [
    Caption(caption="a wren über dem Schnee", class_name="wren", content_hash="ab" * 32, captioner="c" * 64),
    Caption(caption="line\nbreak", class_name="雪"),
]


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "c.jsonl").write_bytes(caption_lines(OURS))
    assert read_captions(tmp_path / "c.jsonl") == tuple(OURS)
    first = json.loads((tmp_path / "c.jsonl").read_text().splitlines()[0])
    assert first == {
        "content_hash": "ab" * 32, "class": "wren", "caption": "a wren über dem Schnee", "captioner": "c" * 64
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b'{"caption": "in snow"}\n',
        b'{"caption": "in snow"}',
        b'\xef\xbb\xbf{"caption": "in snow"}\r\n\r\n',
        b'{"image": 7, "caption": "in snow", "score": [0.5]}\n',
        b'{"caption": "in snow"}\n{"caption": "at ni',
        b'{"caption": "in snow"}\n\0\0\0\0',
        b'\0\0{"caption": "in snow"}\n',
    ],
)
def test_captions_of_any_make_are_read_and_a_torn_end_is_left_out(tmp_path, data):
    (tmp_path / "c.jsonl").write_bytes(data)
    assert read_captions(tmp_path / "c.jsonl") == (Caption(caption="in snow"),)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"caption": "at ni\n', "c.jsonl line 2 is not readable as JSON"),
        (b"[1]\n", "c.jsonl line 2 holds no object"),
        (b'{"text": "x"}\n', "c.jsonl line 2 has no text under 'caption'"),
        (b'{"caption": 7}\n', "c.jsonl line 2 has no text under 'caption'"),
        (b'{"caption": "x", "class": 3}\n', "or something else than text under another of our keys; legal is"),
        (b"\xff\n", "c.jsonl line 2 is not readable as JSON"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, says):
    (tmp_path / "c.jsonl").write_bytes(b'{"caption": "in snow"}\n' + line + b'{"caption": "at night"}\n')
    with pytest.raises(InputError, match=says):
        read_captions(tmp_path / "c.jsonl")


def test_a_damaged_last_line_that_is_whole_is_named_too(tmp_path):
    (tmp_path / "c.jsonl").write_bytes(b'{"caption": "in snow"}\n{"capt\n')
    with pytest.raises(InputError, match=r"c\.jsonl line 2 is not readable"):
        read_captions(tmp_path / "c.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl cannot be read \(No such file or directory\)"):
        read_captions(tmp_path / "nowhere.jsonl")
