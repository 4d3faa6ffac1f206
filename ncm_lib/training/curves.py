"""Lines over epochs as an SVG drawing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = (
    "#1f77d0", "#f08c1a", "#2f9e6e", "#b04fb5", "#d1495b", "#00798c", "#8d6a9f", "#5c6b2f", "#3d405b", "#a44a3f",
    "#6c757d",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values in [0, 1], one per epoch."""

    name: str
    values: tuple[float, ...]


def draw_curves(curves: Sequence[Curve], across: str, up: str) -> str:
    """Draw curves with axes and a legend.

    Args:
        curves: at least one.
        across: what the horizontal axis is.
        up: what the vertical axis is.

    Example:
        >>> draw_curves([Curve(name="cutmix", values=(0.5, 0.75))], "epoch", "accuracy")[:4]
        '<svg'
    """
    width, height, left, top = 640, 300, 48, 30
    longest = max(len(curve.values) for curve in curves)
    below = height + top
    size = f'viewBox="0 0 {width + left + 220} {below + 40}" font-family="sans-serif" font-size="13" fill="#24292f"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<text x="{left}" y="{top - 12}">{html.escape(up)}</text>',
        f'<text x="{left + width / 2}" y="{below + 34}" text-anchor="middle">{html.escape(across)}</text>',
    ]
    for tick in range(0, 101, 20):
        y = below - tick / 100 * height
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:g}" y2="{y:g}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{tick} %</text>')
    for epoch in sorted({0, longest // 2, longest - 1}):
        x = left + width * epoch / max(longest - 1, 1)
        parts.append(f'<text x="{x:g}" y="{below + 16}" text-anchor="middle">{epoch}</text>')
    for place, curve in enumerate(curves):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(
            f"{left + width * epoch / max(longest - 1, 1):.1f},{below - value * height:.1f}"
            for epoch, value in enumerate(curve.values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 18 * place
        parts.append(f'<rect x="{left + width + 14}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + width + 32}" y="{y + 11}">{html.escape(curve.name)}</text>')
    return "".join([*parts, "</svg>"])
