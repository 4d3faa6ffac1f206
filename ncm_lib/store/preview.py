"""The first thing that one sees of a data set: a grid of its images, with masks and labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import InputError
from .disk import plain_errors, replace_bytes
from .images import decode_image, decode_mask
from .layout import PREVIEW, safe_join
from .ledger import Ledger
from .manifest import Manifest
from .record import Array, Record

_SMALLEST, _LARGEST = 144, 256
_GAP, _MARGIN = 18, 26
_PAPER, _INK, _FAINT = "#ffffff", "#24292f", "#8c959f"
_COLOURS = ("#1f77d0", "#f08c1a", "#2f9e6e", "#b04fb5")
"""Of the first, second, ... class of a label."""


def preview(path: str | Path, *, cells: int = 32) -> Path:
    """Draw ``preview.png`` of a data set anew.

    Args:
        path: the data set's folder.
        cells: the most samples to show, spread evenly over the data set.

    Returns:
        The picture's path.

    Raises:
        InputError: no data set, or a folder that cannot be written.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    ledger = Ledger.read(root, manifest)
    with plain_errors(root / PREVIEW):
        return write_preview(root, manifest, ledger, cells=cells)


def write_preview(root: Path, manifest: Manifest, ledger: Ledger, *, cells: int = 32, rank: int = 0) -> Path:
    """As ``preview``, for a data set that is already read."""
    done = np.flatnonzero(ledger.done)
    chosen = done[np.linspace(0, len(done) - 1, min(cells, len(done)), dtype=np.int64)]
    tiles: list[Image.Image] = []
    for _, record in ledger.lines(chosen):
        # one damaged image must not cost the picture of all others; `ncm verify` names it
        with suppress(InputError):
            tiles.append(_tile(root, record, manifest.classes))
    buffer = io.BytesIO()
    _grid(tiles).save(buffer, "PNG", optimize=False, compress_level=6)
    replace_bytes(root / PREVIEW, buffer.getvalue(), rank)
    return root / PREVIEW


def _grid(tiles: Sequence[Image.Image]) -> Image.Image:
    width = max((tile.width for tile in tiles), default=_SMALLEST)
    height = max((tile.height for tile in tiles), default=_SMALLEST)
    columns = min(8, len(tiles)) or 1
    rows = -(-len(tiles) // columns)
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * (width + _GAP) - _GAP, 2 * _MARGIN + rows * (height + _GAP) - _GAP),
        _PAPER,
    )
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet.paste(tile, (_MARGIN + column * (width + _GAP), _MARGIN + row * (height + _GAP)))
    return sheet


def _tile(root: Path, record: Record, classes: Sequence[str]) -> Image.Image:
    """The image with its mask's outline, a bar of the label's shares, and a line per class."""
    picture = decode_image(safe_join(root, record.file_name).read_bytes(), record.file_name)
    picture = _fitted(picture)
    if record.mask_file_name is not None:
        mask = decode_mask(safe_join(root, record.mask_file_name).read_bytes(), record.mask_file_name)
        picture = _outlined(picture, mask)
    size = max(13, picture.width // 11)
    font = ImageFont.load_default(size=size)
    shares = list(zip(record.class_ids, record.weights, _COLOURS, strict=False))
    line, bar, space, dot = round(size * 1.35), max(6, size // 2), max(4, size // 3), round(size * 0.6)
    tile = Image.new("RGB", (picture.width, picture.height + bar + 2 * space + len(shares) * line), _PAPER)
    tile.paste(picture, (0, 0))
    draw = ImageDraw.Draw(tile)
    left, top = 0.0, picture.height + space
    for _, weight, colour in shares:
        right = left + weight * picture.width
        if round(right) > round(left):
            draw.rectangle((round(left), top, round(right) - 1, top + bar - 1), fill=colour)
        left = right
    baseline = top + bar + space + size
    for class_id, weight, colour in shares:
        share, ink = f"{100 * weight:.0f} %", _INK if weight else _FAINT
        room = picture.width - draw.textlength(share, font) - dot - 2 * space
        draw.rectangle((0, baseline - dot, dot - 1, baseline - 1), fill=colour)
        draw.text((dot + space, baseline), _shortened(draw, classes[class_id], font, room), ink, font, anchor="ls")
        draw.text((picture.width, baseline), share, ink, font, anchor="rs")
        baseline += line
    return tile


def _fitted(picture: Image.Image) -> Image.Image:
    """Small images in whole multiples of their pixels, large ones reduced."""
    side = max(picture.size)
    if side < _SMALLEST:
        times = -(-_SMALLEST // side)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    if side > _LARGEST:
        picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return picture


def _outlined(picture: Image.Image, mask: Array) -> Image.Image:
    """Draw the border between the two regions, each side in its class's colour, so one sees which part is whose."""
    binary = Image.fromarray(np.array(mask >= 0.5, dtype=np.uint8))
    first = np.array(binary.resize(picture.size, Image.Resampling.NEAREST), dtype=np.bool_)
    thickness = max(2, picture.width // 80)
    near_first, near_second = _grown(first, thickness), _grown(~first, thickness)
    pixels: Array = np.array(picture)
    for side, other, colour in ((first, near_second, _COLOURS[0]), (~first, near_first, _COLOURS[1])):
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
