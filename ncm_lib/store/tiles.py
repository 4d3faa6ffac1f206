"""One labelled picture: the image, its mask's outline, and the label as a bar with a line per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .record import Array

SMALLEST = 144
"""Pictures are enlarged to this many pixels at least."""
PAPER = "#ffffff"
COLOURS = ("#1f77d0", "#f08c1a", "#2f9e6e", "#b04fb5")
"""Of the first, second, ... class of a label."""
_LARGEST = 256
_INK, _FAINT = "#24292f", "#8c959f"


def tile(picture: Image.Image, mask: Array | None, shares: Sequence[tuple[str, float]]) -> Image.Image:
    """The picture with its mask's outline, a bar of the label's shares, and a line per class.

    Args:
        picture: any size; small ones are enlarged, large ones reduced.
        mask: [h, w], the first class's share per cell, or None for no outline.
        shares: class names and their weights.
    """
    picture = _fitted(picture)
    if mask is not None:
        picture = _outlined(picture, mask)
    picture = _padded(picture)
    size = max(13, picture.width // 11)
    font = ImageFont.load_default(size=size)
    coloured = list(zip(shares, COLOURS, strict=False))
    line, bar, space, dot = round(size * 1.35), max(6, size // 2), max(4, size // 3), round(size * 0.6)
    whole = Image.new("RGB", (picture.width, picture.height + bar + 2 * space + len(coloured) * line), PAPER)
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    left, top = 0.0, picture.height + space
    for (_, weight), colour in coloured:
        right = left + weight * picture.width
        if round(right) > round(left):
            draw.rectangle((round(left), top, round(right) - 1, top + bar - 1), fill=colour)
        left = right
    baseline = top + bar + space + size
    for (name, weight), colour in coloured:
        share, ink = f"{100 * weight:.0f} %", _INK if weight else _FAINT
        room = picture.width - draw.textlength(share, font) - dot - 2 * space
        draw.rectangle((0, baseline - dot, dot - 1, baseline - 1), fill=colour)
        draw.text((dot + space, baseline), _shortened(draw, name, font, room), ink, font, anchor="ls")
        draw.text((picture.width, baseline), share, ink, font, anchor="rs")
        baseline += line
    return whole


def _fitted(picture: Image.Image) -> Image.Image:
    """Small images in whole multiples of their pixels, large ones reduced."""
    side = max(picture.size)
    if side < SMALLEST:
        times = -(-SMALLEST // side)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    if side > _LARGEST:
        picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return picture


def _padded(picture: Image.Image) -> Image.Image:
    """As wide as its label needs it; only very tall images are narrower."""
    if picture.width >= SMALLEST:
        return picture
    whole = Image.new("RGB", (SMALLEST, picture.height), PAPER)
    whole.paste(picture, ((SMALLEST - picture.width) // 2, 0))
    return whole


def _outlined(picture: Image.Image, mask: Array) -> Image.Image:
    """Draw the border between the two regions, each side in its class's colour, so one sees which part is whose."""
    binary = Image.fromarray(np.array(mask >= 0.5, dtype=np.uint8))
    first = np.array(binary.resize(picture.size, Image.Resampling.NEAREST), dtype=np.bool_)
    thickness = max(2, picture.width // 80)
    near_first, near_second = _grown(first, thickness), _grown(~first, thickness)
    pixels: Array = np.array(picture)
    for side, other, colour in ((first, near_second, COLOURS[0]), (~first, near_first, COLOURS[1])):
        pixels[side & other] = tuple(bytes.fromhex(colour[1:]))
    return Image.fromarray(pixels)


def _grown(region: Array, by: int) -> Array:
    """The region and all that is within ``by`` pixels of it, measured along rows and columns."""
    padded = np.pad(region, by)
    height, width = region.shape
    shifts = range(2 * by + 1)
    return np.any([padded[y : y + height, x : x + width] for y in shifts for x in shifts], axis=0)


def _shortened(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float
) -> str:
    """The text, cut with an ellipsis where it is wider than ``room``."""
    if draw.textlength(text, font) <= room:
        return text
    while text and draw.textlength(f"{text}...", font) > room:
        text = text[:-1]
    return f"{text.rstrip()}..."
