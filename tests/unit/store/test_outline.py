"""Masks as drawings."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ncm_lib.store.outline import outline


def filled(path: str, height: int, width: int) -> np.ndarray:
    """What the rectangles of a path cover, how often."""
    cells = np.zeros((height, width), int)
    rectangle = re.compile(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z")
    assert rectangle.sub("", path) == ""
    for match in rectangle.finditer(path):
        x, y, w, h, back = map(int, match.groups())
        assert w == back
        cells[y : y + h, x : x + w] += 1
    return cells


def drawn(path: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """How often a path's lines go along each border between two rows, and between two columns."""
    rows, columns = np.zeros((height - 1, width), int), np.zeros((height, width - 1), int)
    line = re.compile(r"M(\d+) (\d+)([hv])(\d+)")
    assert line.sub("", path) == ""
    for match in line.finditer(path):
        x, y, size = int(match[1]), int(match[2]), int(match[4])
        if match[3] == "h":
            rows[y - 1, x : x + size] += 1
        else:
            columns[y : y + size, x - 1] += 1
    return rows, columns


def test_a_box_takes_a_few_characters() -> None:
    mask = np.ones((64, 64), np.float32)
    mask[10:30, 20:50] = 0
    drawing = outline(mask)
    assert drawing.edges == "M20 10h30M20 30h30M20 10v20M50 10v20"
    assert drawing.area == "M0 0h64v10h-64zM0 10h20v20h-20zM50 10h14v20h-14zM0 30h64v34h-64z"


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_the_area_is_the_first_class_s_and_the_edges_are_where_it_ends(cells: np.ndarray) -> None:
    drawing = outline(cells.astype(np.float32))
    height, width = cells.shape
    assert (drawing.width, drawing.height) == (width, height)
    np.testing.assert_array_equal(filled(drawing.area, height, width), cells.astype(int))
    rows, columns = drawn(drawing.edges, height, width)
    np.testing.assert_array_equal(rows, (cells[1:] != cells[:-1]).astype(int))
    np.testing.assert_array_equal(columns, (cells[:, 1:] != cells[:, :-1]).astype(int))


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_alone_has_no_border(value: int) -> None:
    assert outline(np.full((16, 16), value, np.float32)).edges == ""


def test_a_soft_mask_is_divided_at_one_half() -> None:
    assert outline(np.linspace(0, 1, 8, dtype=np.float32)[None].repeat(2, 0)).edges == "M4 0v2"


def test_a_cell_of_one_half_is_the_first_class_s_as_in_the_grid() -> None:
    assert outline(np.array([[0, 0.5]], np.float32)).area == "M1 0h1v1h-1z"


@pytest.mark.parametrize(("shape", "cells"), [((512, 512), (64, 64)), ((100, 300), (21, 64)), ((1, 900), (1, 64))])
def test_a_large_mask_is_reduced(shape: tuple[int, int], cells: tuple[int, int]) -> None:
    mask = np.zeros(shape, np.float32)
    mask[:, : shape[1] // 2] = 1
    drawing = outline(mask)
    assert (drawing.height, drawing.width) == cells
    assert drawing.edges == f"M{cells[1] // 2} 0v{cells[0]}"


@given(st.integers(0, 5))
def test_a_ragged_mask_stays_small(seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 2, (64, 64)).astype(np.float32)
    drawing = outline(mask)
    assert len(drawing.edges) <= 3000
    assert drawing.width < 64
