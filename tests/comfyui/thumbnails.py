"""The templates' thumbnails, drawn from what their graphs made; ``NCM_SCREENSHOTS=docs`` takes them anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ncm_lib.store.tiles import PAPER

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
SIDE = 512
GAP = 12
TITLE = 30


def keep_thumbnail(name: str, rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> None:
    """Write ``workflows/NAME.jpg``, if pictures are wanted: rows of pictures, each below its title, if it has one."""
    if "NCM_SCREENSHOTS" not in os.environ:
        return
    heights = [max(one.height for one in row) + (TITLE if title else 0) + GAP for title, row in rows]
    width = max(sum(one.width + GAP for one in row) for _, row in rows) - GAP
    page = Image.new("RGB", (width, sum(heights) - GAP), PAPER)
    draw, top = ImageDraw.Draw(page), 0
    for (title, row), height in zip(rows, heights, strict=True):
        if title:
            draw.text((0, top), title, "#24292f", ImageFont.load_default(size=22))
        left = 0
        for one in row:
            page.paste(one, (left, top + (TITLE if title else 0)))
            left += one.width + GAP
        top += height
    page.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (SIDE, SIDE), PAPER)
    whole.paste(page, ((SIDE - page.width) // 2, (SIDE - page.height) // 2))
    whole.save(WORKFLOWS / f"{name}.jpg", quality=80, optimize=True)
