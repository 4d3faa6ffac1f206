"""Pictures beside and below each other, with words: what ``pictures.py`` lays its pages out with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ncm_lib.store.tiles import COLOURS, PAPER

INK = "#24292f"
GAP = 6
FONT = ImageFont.load_default(size=11)
LINE = 14


def enlarged(picture: Image.Image, times: float, *, sharp: bool = False) -> Image.Image:
    """``times`` as large; with ``sharp`` every pixel stays a square."""
    size = round(picture.width * times), round(picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.BICUBIC)


def bordered(picture: Image.Image, colour: str = "#8c959f", width: int = 1) -> Image.Image:
    """With a line along its edge."""
    picture = picture.convert("RGB")
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=colour, width=width)
    return picture


def row(pictures: Sequence[Image.Image]) -> Image.Image:
    """From left to right, tops in line."""
    page = Image.new(
        "RGB", (sum(one.width + GAP for one in pictures) - GAP, max(one.height for one in pictures)), PAPER
    )
    left = 0
    for one in pictures:
        page.paste(one, (left, 0))
        left += one.width + GAP
    return page


def column(pictures: Sequence[Image.Image]) -> Image.Image:
    """From top to bottom, left edges in line."""
    page = Image.new(
        "RGB", (max(one.width for one in pictures), sum(one.height + GAP for one in pictures) - GAP), PAPER
    )
    top = 0
    for one in pictures:
        page.paste(one, (0, top))
        top += one.height + GAP
    return page


def captioned(picture: Image.Image, words: str, *, above: bool = False) -> Image.Image:
    """With words in the middle below it, or above it; as wide as the wider of both."""
    width = max(picture.width, math.ceil(FONT.getlength(words)))
    page = Image.new("RGB", (width, picture.height + LINE), PAPER)
    page.paste(picture, ((width - picture.width) // 2, LINE if above else 0))
    at = (width // 2, 0 if above else picture.height + 2)
    ImageDraw.Draw(page).text(at, words, INK, FONT, anchor="ma")
    return page


def titled(words: str, picture: Image.Image) -> Image.Image:
    """With a line of words above it, from the left."""
    page = Image.new("RGB", (max(picture.width, math.ceil(FONT.getlength(words))), picture.height + LINE + 2), PAPER)
    ImageDraw.Draw(page).text((0, 0), words, INK, FONT)
    page.paste(picture, (0, LINE + 2))
    return page


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """A square of ``side`` pixels, filled by the whole picture as far as its proportions allow."""
    return ImageOps.pad(picture, (side, side), Image.Resampling.LANCZOS, color=PAPER)


def ring(words: Sequence[str], around: Sequence[Image.Image], inside: Sequence[Image.Image]) -> Image.Image:
    """Pictures around a circle, clockwise from the top, and two in its middle, named as images A and B."""
    cell = around[0].width
    radius = round(2.1 * cell)
    side = 2 * radius + cell + 2 * LINE
    page = Image.new("RGB", (side, side + LINE), PAPER)
    draw = ImageDraw.Draw(page)
    middle = side // 2
    draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), outline="#8c959f")
    for number, (name, picture) in enumerate(zip(words, around, strict=True)):
        angle = 2 * math.pi * number / len(around)
        one = captioned(picture, name)
        at = middle + round(radius * math.sin(angle)), middle - round(radius * math.cos(angle))
        page.paste(one, (at[0] - one.width // 2, at[1] - cell // 2))
    for picture, name, colour, shift in zip(inside, "BA"[::-1], COLOURS, (1, -1), strict=False):
        left = middle + (GAP if shift > 0 else -GAP - cell)
        page.paste(bordered(picture, colour, 3), (left, middle - cell // 2))
        draw.text((left + cell // 2, middle + cell // 2 + 3), f"image {name}", colour, FONT, anchor="ma")
    return page
