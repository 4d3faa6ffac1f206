"""Two heads that differ: every field is named, and no line is longer than a reader."""

from __future__ import annotations

from ncm_lib.plan.differences import differences


def test_equal_heads_differ_in_nothing():
    assert differences({"a": [1, 2], "b": None}, {"b": None, "a": [1, 2]}, "the folder") == {}


def test_a_field_that_one_of_them_lacks_is_told_also_where_the_other_has_null():
    assert differences({"a": None}, {}, "the folder") == {"a": "a: the folder has null, this run has no such field"}
    assert differences({}, {"a": 1}, "the pool") == {"a": "a: the pool has no such field, this run has 1"}


def test_a_long_value_is_shown_where_it_differs():
    matrix = [[row * 50 + column for column in range(50)] for row in range(50)]
    other = [list(row) for row in matrix]
    other[31][4] = -7
    (line,) = differences({"confusion": matrix}, {"confusion": other}, "the data set").values()
    assert len(line) < 320
    theirs, ours = line.split(", this run has ")
    assert "1553, 1554, 1555" in theirs
    assert "1553, -7, 1555" in ours
    assert theirs.endswith("characters)")


def test_long_values_that_differ_at_the_end_alone_differ():
    names = [f"class {number}" for number in range(200)]
    (line,) = differences({"classes": names}, {"classes": [*names, "owl"]}, "the folder").values()
    assert ', "owl"]' in line
    assert len(line) < 320
