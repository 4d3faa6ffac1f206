"""Records: one JSON line each, strictly read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncm_lib.errors import InputError
from ncm_lib.maths.masks import Box
from ncm_lib.plan.sample import BoxMask, ClassWeight, Condition, Sample
from ncm_lib.store.record import Record

KEYS = [
    "file_name", "mask_file_name", "mask_sha256", "index", "seed", "class_ids", "weights", "box", "method", "start",
    "source", "source_b", "strength", "u", "plan_hash", "bytes", "renderer",
]  # fmt: skip


def some_record(**fields: Any) -> Record:
    usual: dict[str, Any] = {
        "file_name": "images/000/00000003.png", "index": 3, "seed": 2**53 - 1, "class_ids": (0, 2),
        "weights": (0.25, 0.75), "method": "noisecutmix", "plan_hash": "plan",
    }  # fmt: skip
    return Record(**(usual | fields))


def with_value(key: str, value: object) -> str:
    return json.dumps(json.loads(some_record().to_json()) | {key: value})


def test_a_line_has_every_key_of_the_format_in_its_order() -> None:
    assert list(json.loads(some_record().to_json())) == KEYS


def test_a_line_is_ascii_whatever_the_text() -> None:
    line = some_record(source="größe 🎽\n").to_json()
    assert line.isascii()
    assert "\n" not in line
    assert Record.from_json(line, "here").source == "größe 🎽\n"


@given(
    index=st.integers(0, 2**53 - 1),
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    box=st.none() | st.tuples(*[st.integers(0, 64)] * 4),
    u=st.none() | st.floats(-1e9, 1e9),
    start=st.sampled_from(["noise", "image", "circle"]),
)
def test_a_record_comes_back_from_its_line(index: int, weights: list[float], box: Any, u: Any, start: Any) -> None:
    ids = tuple(range(len(weights)))
    record = some_record(index=index, class_ids=ids, weights=tuple(weights), box=box, u=u, start=start, bytes=9)
    assert Record.from_json(record.to_json(), "here") == record


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file_name", None), ("file_name", ""), ("mask_file_name", 1), ("mask_sha256", "ab"), ("mask_sha256", "A" * 64),
        ("mask_sha256", "0" * 64 + "\n"), ("index", -1), ("index", 1.0), ("index", True),
        ("index", 2**53), ("seed", "1"), ("class_ids", []), ("class_ids", [0.5, 1]), ("class_ids", None),
        ("weights", [0.5, "0.5"]), ("weights", [-0.1, 1.1]), ("weights", [True, 0]), ("box", [1, 2, 3]),
        ("box", {"x0": 1}), ("method", 3), ("start", "nowhere"), ("source", 1), ("strength", "1"), ("u", [0.1]),
        ("plan_hash", None), ("bytes", -1), ("renderer", False),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"log line 7.*{key} is .*legal is"):
        Record.from_json(with_value(key, value), "log line 7")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": NaN}', "[" * 100_000, "\ud800"])
def test_what_is_no_record_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(InputError, match="log line 7"):
        Record.from_json(text, "log line 7")


def test_an_infinite_weight_is_refused() -> None:
    with pytest.raises(InputError, match="weights"):
        Record.from_json(some_record().to_json().replace("0.25", "1e400"), "here")


def test_missing_and_unknown_keys_are_named() -> None:
    row = json.loads(some_record().to_json())
    row["sead"] = row.pop("seed")
    with pytest.raises(InputError, match=r"missing \['seed'\], unknown \['sead'\]"):
        Record.from_json(json.dumps(row), "here")


def test_one_weight_per_class() -> None:
    with pytest.raises(InputError, match="2 class_ids and 1 weights"):
        Record.from_json(with_value("weights", [1.0]), "here")


@pytest.mark.parametrize("fields", [{"mask_file_name": "masks/000/00000003.png"}, {"mask_sha256": "0" * 64}])
def test_a_mask_and_its_sha256_stand_together(fields: Any) -> None:
    with pytest.raises(InputError, match="legal is both or neither"):
        Record.from_json(some_record(**fields).to_json(), "here")


def test_a_soft_label_is_dense_and_adds_up_a_class_that_stands_twice() -> None:
    label = some_record(class_ids=(2, 0, 2), weights=(0.25, 0.5, 0.25)).soft_label(4)
    assert label.dtype == np.float32
    assert label.tolist() == [0.5, 0, 0.5, 0]


def test_a_class_beyond_the_list_is_refused_instead_of_misplaced() -> None:
    with pytest.raises(InputError, match=r"class 2, and the data set has the classes 0\.\.1"):
        some_record().soft_label(2)


def test_a_planned_sample_becomes_its_record() -> None:
    sample = Sample(
        index=1234,
        seed=99,
        conditions=(Condition(prompt="a photo of a secret"), Condition(prompt="b")),
        label=(ClassWeight(class_id=3, weight=0.75), ClassWeight(class_id=1, weight=0.25)),
        mask=BoxMask(box=Box(1, 2, 3, 4), grid_height=8, grid_width=8),
    )
    record = Record.from_sample(sample, method="noisecutmix", plan_hash="plan", renderer="ncm_lib")
    assert (record.index, record.seed, record.class_ids, record.weights) == (1234, 99, (3, 1), (0.75, 0.25))
    assert (record.box, record.start, record.renderer) == ((1, 2, 3, 4), "noise", "ncm_lib")
    assert "secret" not in record.to_json()
