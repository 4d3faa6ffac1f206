"""Where the points of a drawing stand."""

from __future__ import annotations

import math
import re

import pytest

from ncm_lib.training.curves import Curve, draw_curves


def points(drawing: str) -> list[list[tuple[float, ...]]]:
    return [
        [tuple(map(float, point.split(","))) for point in line.split()]
        for line in re.findall(r'<polyline points="([^"]*)"', drawing)
    ]


def texts(drawing: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", drawing)


def test_epochs_go_from_the_left_end_to_the_right_and_the_axis_from_0_to_1():
    drawing = draw_curves([Curve(name="a", values=(0.0, 0.5, 1.0))], "epoch", "accuracy")
    assert points(drawing) == [[(48, 330), (368, 180), (688, 30)]]
    assert [text for text in texts(drawing) if text.endswith("%")] == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    assert "<circle" not in drawing


def test_named_places_have_their_points_and_whiskers_and_what_is_not_there_is_left_out():
    curves = [Curve(name="a", values=(0.5, 0.7), spread=(0.05, math.nan)), Curve(name="b", values=(math.nan, 0.6))]
    drawing = draw_curves(curves, "shots", "accuracy", ticks=["10", "all"], close=True)
    # the axis goes from 45 to 70 %, and the two curves stand beside each other
    assert points(drawing) == [[(204, 270), (524, 30)], [(532, 150)]]
    assert [text for text in texts(drawing) if text.endswith("%")] == [f"{n} %" for n in (45, 50, 55, 60, 65, 70)]
    assert drawing.count("<circle") == 3
    (whisker,) = re.findall(r'x1="([\d.]+)" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)" stroke="#1f77d0"', drawing)
    assert tuple(map(float, whisker)) == (204, 330, 210)
    assert {"10", "all"} <= set(texts(drawing))


@pytest.mark.parametrize(("value", "ends"), [(0.3, ("25 %", "30 %")), (0.0, ("0 %", "5 %")), (1.0, ("95 %", "100 %"))])
def test_a_single_value_still_has_an_axis(value, ends):
    drawing = draw_curves([Curve(name="a", values=(value,))], "shots", "accuracy", ticks=["5"], close=True)
    assert tuple(text for text in texts(drawing) if text.endswith("%")) == ends


def test_names_are_no_markup():
    drawing = draw_curves([Curve(name="a<b", values=(0.5,))], "x", "y", ticks=["<"])
    assert "a&lt;b" in drawing
    assert "<b" not in drawing


def test_many_curves_at_a_named_place_stay_within_it():
    curves = [Curve(name=str(number), values=(0.5, 0.6)) for number in range(100)]
    first = [line[0][0] for line in points(draw_curves(curves, "x", "y", ticks=["5", "10"]))]
    assert len(set(first)) == 100
    assert min(first) > 48
    assert max(first) < 48 + 320
