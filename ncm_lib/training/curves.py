"""Lines over epochs or shots as an SVG drawing."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = (
    "#1f77d0", "#f08c1a", "#2f9e6e", "#b04fb5", "#d1495b", "#00798c", "#8d6a9f", "#5c6b2f", "#3d405b", "#a44a3f",
    "#6c757d",
)  # fmt: skip

STEPS = 20
"""Of the vertical axis, 5 % each."""
_BESIDE = 8.0
"""Pixels between two curves at a named place, where there is room."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values in [0, 1] at the places 0, 1, 2... of the horizontal axis; NaN where there is none."""

    name: str
    values: tuple[float, ...]
    spread: tuple[float, ...] = ()
    """How far each value's whiskers reach up and down; none where it is NaN or not given."""


def draw_curves(
    curves: Sequence[Curve], across: str, up: str, *, ticks: Sequence[str] | None = None, close: bool = False
) -> str:
    """Draw curves with axes and a legend.

    Args:
        curves: at least one, with at least one value.
        across: what the horizontal axis is.
        up: what the vertical axis is.
        ticks: what stands at each place. Without them: the numbers of the first, the middle and the last place.
        close: the vertical axis ends near the curves, at a multiple of 5 %. Without it: it goes from 0 to 1.

    Example:
        >>> draw_curves([Curve(name="cutmix", values=(0.5, 0.75))], "epoch", "accuracy")[:4]
        '<svg'
    """
    width, height, left, top = 640, 300, 48, 30
    longest = max(len(curve.values) for curve in curves)
    below = height + top
    beside = min(_BESIDE, 0.7 * width / longest / len(curves))
    low, high = _span(curves) if close else (0, STEPS)

    def at(place: int, value: float | int) -> tuple[float, float]:
        shift = 0.5 / longest if ticks is not None else 0  # names stand in the middle of their share
        share = place / longest + shift if ticks is not None else place / max(longest - 1, 1)
        return left + width * share, below - (STEPS * value - low) / (high - low) * height

    size = f'viewBox="0 0 {width + left + 220} {below + 40}" font-family="sans-serif" font-size="13" fill="#24292f"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<text x="{left}" y="{top - 12}">{html.escape(up)}</text>',
        f'<text x="{left + width / 2}" y="{below + 34}" text-anchor="middle">{html.escape(across)}</text>',
    ]
    for step in range(low, high + 1, 1 if high - low <= 6 else 2 if high - low <= 12 else 4):
        y = at(0, step / STEPS)[1]
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:g}" y2="{y:g}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{100 * step // STEPS} %</text>')
    names = dict(enumerate(ticks)) if ticks is not None else {n: str(n) for n in (0, longest // 2, longest - 1)}
    for place, name in names.items():
        parts.append(f'<text x="{at(place, 0)[0]:g}" y="{below + 16}" text-anchor="middle">{html.escape(name)}</text>')
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        found = [(place, value) for place, value in enumerate(curve.values) if math.isfinite(value)]
        # named places: beside each other, so that the whiskers of several curves can be told apart
        shift = beside * (number - (len(curves) - 1) / 2) if ticks is not None else 0
        places = [(at(place, value)[0] + shift, at(place, value)[1]) for place, value in found]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (place, value) in zip(places, found, strict=True) if ticks is not None else ():
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            spread = curve.spread[place] if curve.spread else math.nan
            if math.isfinite(spread):
                ends = (at(place, value - spread)[1], at(place, value + spread)[1])
                line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"'
                parts.append(f'<line {line} stroke="{colour}" stroke-opacity="0.6"/>')
        y = top + 18 * number
        parts.append(f'<rect x="{left + width + 14}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + width + 32}" y="{y + 11}">{html.escape(curve.name)}</text>')
    return "".join([*parts, "</svg>"])


def _span(curves: Sequence[Curve]) -> tuple[int, int]:
    """Steps of the axis below and above all values and whiskers."""
    ends: list[float] = []
    for curve in curves:
        for place, value in enumerate(curve.values):
            spread = curve.spread[place] if curve.spread and math.isfinite(curve.spread[place]) else 0.0
            ends += [value - spread, value + spread] if math.isfinite(value) else []
    # a value on a line of the axis stays there, whatever its last bit
    low, high = math.floor(STEPS * min(ends) + 1e-9), math.ceil(STEPS * max(ends) - 1e-9)
    low, high = max(low, 0), min(high, STEPS)
    return (low, high) if high > low else (low - 1, high) if low else (low, high + 1)
