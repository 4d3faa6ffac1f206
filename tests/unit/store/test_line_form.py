"""The quick way through a log takes what the strict parser takes, with the same values, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncm_lib.errors import InputError
from ncm_lib.store.layout import image_name, mask_name
from ncm_lib.store.line_form import LineForm, Rows
from ncm_lib.store.log import scan_log
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record

COUNT = 10**8
MANIFEST = Manifest(
    classes=("a", "b", "c"), method="m", config={}, seed=0, plan_hash="p+(1)", batch_shape=1, count=COUNT
)
FORM = LineForm(MANIFEST)

seeds = st.integers(0, 2**53 - 1) | st.integers(9 * 10**15, 2**53 - 1)
shares = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.1 + 0.2, 5e-324, 1e-05, 1.7976931348623157e308, 123456789012.6])
texts = st.none() | st.sampled_from(["x", "ncm_lib", "größe", 'a "b"', "a\\b", "\n", " ", "~"])


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """Of a record; names follow from the index."""
    number = draw(st.integers(1, 4))
    return {
        "index": draw(st.integers(0, COUNT - 1) | st.integers(0, 2000)),
        "mask_sha256": draw(st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)),
        "seed": draw(seeds),
        "class_ids": tuple(draw(st.lists(st.integers(0, 2), min_size=number, max_size=number))),
        "weights": tuple(draw(st.lists(shares, min_size=number, max_size=number))),
        "box": draw(st.none() | st.tuples(*[st.integers(0, 128)] * 4)),
        "method": draw(texts) or "m",
        "start": draw(st.sampled_from(["noise", "image", "circle"])),
        "source": draw(texts),
        "source_b": draw(texts),
        "strength": draw(st.none() | shares),
        "u": draw(st.none() | st.floats(-9, 9)),
        "bytes": draw(st.integers(0, 10**15) | st.none()),
        "renderer": draw(texts),
    }


def record_of(fields: dict[str, Any]) -> Record:
    index = fields["index"]
    names = {"file_name": image_name(index), "mask_file_name": mask_name(index) if fields["mask_sha256"] else None}
    return Record(**(fields | names | {"plan_hash": MANIFEST.plan_hash}))


def lines_of(rows: list[Record]) -> bytes:
    return "".join(f"{record.to_json()}\n" for record in rows).encode()


def assert_as_the_strict_parser(line: bytes) -> bool:
    """Whether the form took the line; if it did, the strict parser must take it, and read the same."""
    rows = FORM.rows(line)
    label = FORM.label(line)
    assert (rows is None) <= (label is None)
    if rows is None or label is None:
        return False
    record = Record.from_json(line, "the line")
    assert FORM.misfit(record) is None
    strict = Rows.of(record)
    for field in dataclasses.fields(Rows):
        np.testing.assert_array_equal(getattr(rows, field.name), getattr(strict, field.name))
    assert label == (list(record.class_ids), list(record.weights))
    return True


def own_line(**fields: Any) -> bytes:
    usual: dict[str, Any] = {
        "file_name": image_name(1234), "mask_file_name": mask_name(1234), "mask_sha256": "0" * 64, "index": 1234,
        "seed": 2**53 - 10**10, "class_ids": (0, 2), "weights": (0.3125, 0.6875), "box": (0, 3, 20, 64),
        "method": "noisecutmix", "plan_hash": MANIFEST.plan_hash, "bytes": 2345, "renderer": "ncm_lib",
    }  # fmt: skip
    return lines_of([Record(**(usual | fields))])


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"mask_file_name": None, "mask_sha256": None}, {"class_ids": (1,), "weights": (1.0,)}, {"box": None},
        {"class_ids": (0, 1, 2, 0), "weights": (0.25,) * 4}, {"start": "circle", "source": "a1", "source_b": "b2"},
        {"strength": 0.5, "u": 1e-05}, {"renderer": None}, {"weights": (1 / 3, 2 / 3)}, {"weights": (0.0, 1.0)},
    ],
)  # fmt: skip
def test_the_lines_that_the_writer_writes_take_the_quick_way(fields: Any) -> None:
    assert assert_as_the_strict_parser(own_line(**fields))


@pytest.mark.parametrize("index", [0, 9, 10, 999, 1000, 999_999, 1_000_000, 12_345_678, 99_999_999])
def test_every_index_takes_the_quick_way(index: int) -> None:
    names = {"file_name": image_name(index), "mask_file_name": mask_name(index)}
    assert assert_as_the_strict_parser(own_line(index=index, **names))


def test_whole_numbers_as_weights_are_read_as_the_strict_parser_reads_them() -> None:
    assert assert_as_the_strict_parser(own_line().replace(b"[0.3125, 0.6875]", b"[0, 1]"))


@given(values=fields())
def test_what_the_quick_way_reads_of_a_record_is_what_is_in_it(values: Any) -> None:
    assert_as_the_strict_parser(lines_of([record_of(values)]))


BITS = [
    *map(bytes, zip(b'01-.eE+ ,"[]{}\\\0\r\xc3\xff')), b"null", b"true", b"NaN", b"1e9", b"00", b"0.", b'"index": 7, ',
    b"images/",
]  # fmt: skip


@given(
    values=fields(),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.sampled_from(BITS)), min_size=1, max_size=3
    ),
)
def test_a_changed_line_is_read_as_the_strict_parser_reads_it_or_left_to_it(values: Any, changes: Any) -> None:
    line = lines_of([record_of(values)])[:-1]
    for place, removed, added in changes:
        start = int(place * (len(line) + 1))
        line = line[:start] + added + line[start + removed :]
    assert_as_the_strict_parser(line + b"\n")


@given(values=fields(), place=st.floats(0, 1, exclude_max=True), digit=st.integers(0, 9))
def test_a_changed_digit_is_read_as_it_stands_or_refused(values: Any, place: float, digit: int) -> None:
    line = bytearray(lines_of([record_of(values)]))
    digits = [position for position, byte in enumerate(line) if chr(byte).isdigit()]
    line[digits[int(place * len(digits))]] = ord(str(digit))
    assert_as_the_strict_parser(bytes(line))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"images/001", b"images/002"), (b"images/001/00001234", b"images/001/00001235"),
        (b"masks/001", b"masks/000"), (b'"index": 1234', b'"index": 1235'), (b'"index": 1234', b'"index": 01234'),
        (b'"index": 1234', b'"index": 1234.0'), (b".png", b".jpg"), (b"[0, 2]", b"[0, 3]"), (b"[0, 2]", b"[0, 2, 1]"),
        (b"[0, 2]", b"[]"), (b"p+(1)", b"p1"), (b'"bytes": 2345', b'"bytes": null'), (b'"bytes": 2345', b'"bytes": -1'),
        (b'"seed": ', b'"seed": 1'), (b"0" * 64, b"0" * 63 + b"G"), (b"noisecutmix", b""), (b"}\n", b"}\r\n"),
        (b"}\n", b"} \n"), (b"{", b"{ "), (b"0.3125", b"-0.3125"), (b"0.3125", b"1e999"), (b'"noise"', b'"nois"'),
        (b'"renderer": "ncm_lib"', b'"renderer": "ncm_lib", "index": 5'), (b"}\n", b"}"), (b"}\n", b"}\n\n"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_of_the_form_is_left_to_the_strict_parser(old: bytes, new: bytes) -> None:
    line = own_line()
    assert old in line
    assert FORM.rows(line.replace(old, new)) is None


def test_a_class_or_an_index_beyond_the_data_set_is_left_to_the_strict_parser() -> None:
    small = MANIFEST.model_copy(update={"count": 1234, "classes": ("a", "b")})
    assert LineForm(small).rows(own_line()) is None
    assert LineForm(small.model_copy(update={"count": 1235})).rows(own_line()) is None
    whole = small.model_copy(update={"count": 1235, "classes": ("a", "b", "c")})
    assert LineForm(whole).rows(own_line()) is not None


LOG = [dataclasses.replace(Record.from_json(own_line(), "it"), index=index, file_name=image_name(index),
       mask_file_name=mask_name(index), bytes=100 + index) for index in range(40)]  # fmt: skip


@given(
    bad=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from([b"\n", b"{}\n", b"\0\0\0\n", b'{"torn": \n', b"  \r\n", b"null\n", b"\xff\n"]),
        ),
        max_size=6,
    ),
    cut=st.integers(0, 30),
)
def test_a_log_is_read_line_by_line_whatever_stands_between_the_lines(
    bad: list[tuple[int, bytes]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [lines_of([record]) for record in LOG]
    for position, text in sorted(bad, reverse=True):
        lines.insert(position, text)
    data = b"".join(lines)[: -cut or None]
    path = tmp_path_factory.mktemp("log") / "metadata-0.jsonl"
    path.write_bytes(data)
    expected: list[tuple[int, int]] = []
    wrong = offset = 0
    for line in data.split(b"\n"):
        try:
            text = line.strip(b"\0 \t\r\n")
            if text or b"\0" in line:
                expected.append((offset, Record.from_json(text, "it").index))
        except InputError:
            wrong += 1
        offset += len(line) + 1
    notes: list[str] = []
    read = [
        pair
        for rows in scan_log(path, FORM, notes)
        for pair in zip(rows.offset.tolist(), rows.index.tolist(), strict=True)
    ]
    assert read == expected
    assert len(notes) == min(wrong, 5) + (wrong > 5)


def test_a_note_names_the_line_even_in_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "metadata-0.jsonl"
    line = lines_of([LOG[3]])
    log.write_bytes(line * 7000 + b"{\n" + line * 3000)
    notes: list[str] = []
    assert sum(len(rows.index) for rows in scan_log(log, FORM, notes)) == 10_000
    assert len(notes) == 1
    assert notes[0].startswith("metadata-0.jsonl line 7001 ")
