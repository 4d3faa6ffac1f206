"""Whether a sample's files are what they should be: the checks that resuming, verifying and repairing share.

They are for samples that a scan has found: it knows no names but the format's own, and follows no symlink.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import InputError
from .images import checked_record, decode_image, decode_mask, embedded_record, is_binary, mask_sha256
from .layout import image_name
from .line_form import LineForm
from .record import Record


def sound_record(root: Path, index: int, form: LineForm) -> tuple[Record, tuple[int, int]]:
    """Decode a sample's image; its record, with the file's size filled in, and the image's width and height.

    Raises:
        InputError: the image is damaged, carries no record, is another sample or of another data set, or has not the
            size that the render settings tell.
        OSError: the file cannot be read.
    """
    name = image_name(index, form.manifest.image_format)
    data = (root / name).read_bytes()
    size = decode_image(data, name).size
    width, height = (form.manifest.render.get(side) for side in ("width", "height"))
    if type(width) is int and type(height) is int and size != (width, height):
        raise InputError(f"{name} is {size[0]} x {size[1]} pixels and should be {width} x {height}.")
    return _belonging(embedded_record(data, name, size=len(data)), index, name, form), size


def whole_record(root: Path, index: int, form: LineForm) -> Record:
    """As ``sound_record``, but quick: the pixels are not decoded (``images.checked_record``)."""
    name = image_name(index, form.manifest.image_format)
    return _belonging(checked_record((root / name).read_bytes(), name), index, name, form)


def check_mask(root: Path, record: Record) -> None:
    """Hold a sample's mask, where it has one, against its record.

    Raises:
        InputError: the mask is damaged, is another than the record tells, or its mean is not the label.
        OSError: the file cannot be read.
    """
    name = record.mask_file_name
    if name is None:
        return
    mask = decode_mask((root / name).read_bytes(), name)
    mean = float(mask.mean(dtype=np.float64))
    # 8 bits round each cell by at most half a step
    if abs(mean - record.weights[0]) > (1e-6 if is_binary(mask) else 0.5 / 255 + 1e-6):
        raise InputError(f"{name}: its mean is {mean:.6f} and the label gives the first class {record.weights[0]:.6f}.")
    if mask_sha256(mask) != record.mask_sha256:
        raise InputError(f"{name} is another mask than the one that the record tells by its sha256.")


def check_label(record: Record) -> None:
    """Whether a sample's label sums to one.

    Raises:
        InputError: it does not.
    """
    total = math.fsum(record.weights)
    if abs(total - 1) > 1e-6:
        raise InputError(f"{record.file_name}: its label sums to {total:.9f}.")


def _belonging(record: Record, index: int, name: str, form: LineForm) -> Record:
    if record.index != index:
        raise InputError(f"{name} is another sample: its own record is that of sample {record.index}.")
    if problem := form.misfit(record):
        raise InputError(f"{name} does not belong here: its own record does not fit ({problem}).")
    return record
