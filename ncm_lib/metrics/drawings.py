"""Pictures of a confusion matrix and of calibration."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..typing import Int64
from .scores import Calibration

_PAPER, _INK, _FAINT, _BAR, _GAP = "#ffffff", "#24292f", "#d0d7de", "#1f77d0", "#f08c1a"
_LONGEST = 18


def confusion_picture(matrix: Int64[np.ndarray, "classes classes"], names: tuple[str, ...]) -> Image.Image:
    """Draw a confusion matrix: a row per true class, its shares as shades of blue, counts where there is room.

    Args:
        matrix: [true class][taken for].
        names: of the classes.
    """
    count = len(names)
    cell = 36 if count <= 20 else max(3, 900 // count)
    named = count <= 40
    font = ImageFont.load_default(size=13)
    texts = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    margin = 12 + (max(round(font.getlength(text)) for text in texts) if named else 0)
    sheet = Image.new("RGB", (margin + count * cell + 12, margin + count * cell + 12), _PAPER)
    draw = ImageDraw.Draw(sheet)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row in range(count):
        top = margin + row * cell
        for column in range(count):
            left, share = margin + column * cell, float(shares[row, column])
            shade = tuple(round(255 - share * (255 - part)) for part in (0x1F, 0x77, 0xD0))
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=shade)
            if cell >= 24 and matrix[row, column]:
                ink = _PAPER if share > 0.5 else _INK
                middle = (left + cell / 2, top + cell / 2)
                draw.text(middle, str(matrix[row, column]), fill=ink, font=font, anchor="mm")
        if named:
            draw.text((margin - 6, top + cell / 2), texts[row], fill=_INK, font=font, anchor="rm")
    if named:
        _column_names(sheet, texts, font, margin, cell)
    return sheet


def reliability_picture(calibration: Calibration) -> Image.Image:
    """Draw a reliability diagram: accuracy over confidence, the gap to the diagonal, and how many images each bin has.

    Args:
        calibration: of ``scores``.
    """
    side, margin, strip = 360, 48, 60
    bins = len(calibration.counts)
    width = side / bins
    sheet = Image.new("RGB", (side + 2 * margin, side + strip + 2 * margin), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    floor = margin + side
    for number, (count, sure, right) in enumerate(
        zip(calibration.counts, calibration.confidence, calibration.accuracy, strict=True)
    ):
        if not count:
            continue
        left, stop = margin + number * width + 1, margin + (number + 1) * width - 1
        low, high = sorted((float(sure), float(right)))
        draw.rectangle((left, floor - side * float(right), stop, floor), fill=_BAR)
        draw.rectangle((left, floor - side * high, stop, floor - side * low), outline=_GAP, width=2)
        share = count / calibration.counts.max()
        draw.rectangle((left, floor + strip - (strip - 20) * share, stop, floor + strip), fill=_FAINT)
    draw.line((margin, floor, margin + side, margin), fill=_INK)
    draw.rectangle((margin, margin, margin + side, floor), outline=_INK)
    draw.text((margin, margin - 8), f"accuracy; ECE {100 * calibration.ece:.2f} %", _INK, font, anchor="ls")
    draw.text((margin + side / 2, floor + strip + 22), "confidence, 0 to 1; below: images", _INK, font, anchor="ms")
    return sheet


def _column_names(
    sheet: Image.Image, texts: list[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, margin: int, cell: int
) -> None:
    """Names above the columns, read from below."""
    for column, text in enumerate(texts):
        strip = Image.new("RGB", (margin - 8, 16), _PAPER)
        ImageDraw.Draw(strip).text((0, 8), text, fill=_INK, font=font, anchor="lm")
        turned = strip.rotate(90, expand=True)
        sheet.paste(turned, (margin + column * cell + max(0, (cell - 16) // 2), 2))
