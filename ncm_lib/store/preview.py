"""The first thing that one sees of a data set: a grid of its images, with masks and labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .disk import plain_errors, replace_bytes
from .images import decode_image, decode_mask
from .layout import PREVIEW, safe_join
from .ledger import Ledger
from .manifest import Manifest, refuse_empty
from .record import Record
from .tiles import PAPER, SMALLEST, tile

_GAP, _MARGIN = 18, 26


def preview(path: str | Path, *, cells: int = 32) -> Path:
    """Draw ``preview.png`` of a data set anew.

    Args:
        path: the data set's folder.
        cells: the most samples to show, spread evenly over the data set.

    Returns:
        The picture's path.

    Raises:
        InputError: no data set, one without a finished image, or a folder that cannot be written.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    ledger = Ledger.read(root, manifest)
    refuse_empty(root, manifest, bool(ledger.done.any()))
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
    width = max((tile.width for tile in tiles), default=SMALLEST)
    height = max((tile.height for tile in tiles), default=SMALLEST)
    columns = min(8, len(tiles)) or 1
    rows = -(-len(tiles) // columns)
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * (width + _GAP) - _GAP, 2 * _MARGIN + rows * (height + _GAP) - _GAP),
        PAPER,
    )
    for number, picture in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet.paste(picture, (_MARGIN + column * (width + _GAP), _MARGIN + row * (height + _GAP)))
    return sheet


def _tile(root: Path, record: Record, classes: Sequence[str]) -> Image.Image:
    picture = decode_image(safe_join(root, record.file_name).read_bytes(), record.file_name)
    mask = None
    if record.mask_file_name is not None:
        mask = decode_mask(safe_join(root, record.mask_file_name).read_bytes(), record.mask_file_name)
    shares = [(classes[class_id], weight) for class_id, weight in zip(record.class_ids, record.weights, strict=True)]
    return tile(picture, mask, shares)
