"""Image files of any common kind, as upright RGB pictures."""

from __future__ import annotations

import functools
import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from .notes import printable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Pillow's names of what is read; every other plug-in of Pillow stays unused, whatever a file claims to be."""

MAX_PIXELS = 89_478_485
"""Pillow's own bound for what might be a decompression bomb: 9459 x 9459, 268 MB as RGB."""

REMEDY = "save it again as JPEG or PNG, or leave it out"

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_MAY_BE_TURNED = (b"eXIf", b"Raw profile type", b"tiff:Orientation")
# What a whole file ends with. Pillow refuses a WebP that is cut off when it opens it; others are decoded to know.
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;", "WEBP": b""}


class BadImageError(Exception):
    """A file that cannot be used as an image; the text goes on behind the file's name."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says about its image: the size as ``read_image`` returns it, and whether it has more frames."""

    width: int
    height: int
    animated: bool


def read_image(source: bytes | str | Path, where: str | None = None) -> Image.Image:
    """Read an image file as an upright 8-bit RGB picture.

    The content says what it is, not the suffix: JPEG (and MPO), PNG, WebP, GIF, BMP, TIFF, PPM and AVIF are read. EXIF
    rotation is applied. What is transparent becomes white. Of an animation, or of several pages, it is the first one.
    Grey of 16 bits is scaled to 8 (32-bit integers count as 16 bits, floats as [0, 1]). Colour profiles are not
    applied; CMYK is converted without one.

    Args:
        source: the file's bytes, or its path.
        where: what messages call it; by default its path.

    Returns:
        PIL image of mode RGB, without any metadata.

    Raises:
        InputError: it cannot be read, is none of these formats, is cut off or damaged, or has more than
            ``MAX_PIXELS`` pixels; one line that names it.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(file, "PNG")
        >>> read_image(file.getvalue()).getpixel((0, 0))
        (255, 255, 255)
    """
    place = where or ("The image" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        with _opened(data) as image:
            turn = _TURNS.get(_orientation(image, data))
            picture = _to_rgb(image)
            picture.info.clear()
            return picture if turn is None else picture.transpose(turn)
    except BadImageError as error:
        raise InputError(f"{place} {error}; {REMEDY}.") from error
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}.") from error


def read_header(data: bytes, *, decode: bool = False) -> Header:
    """Read the size of an image; its pixels only where nothing else tells whether the file is whole.

    Args:
        data: the file's bytes.
        decode: decode the pixels in any case.

    Raises:
        BadImageError: as ``read_image``; damage that leaves the file's end in place is found only with ``decode``.
    """
    with _opened(data) as image:
        width, height = image.size
        if _orientation(image, data) >= 5:
            width, height = height, width
        animated = _is_animated(image)
        ending = _ENDS.get(image.format or "")
        decode = decode or ending is None or not data.rstrip(b"\0").endswith(ending)
    if decode:
        with _opened(data) as image:
            _to_rgb(image)
    return Header(width=width, height=height, animated=animated)


def is_image(path: str) -> bool:
    """Whether a file's content opens as an image of one of the formats."""
    try:
        with Image.open(path, formats=_formats()):
            return True
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except Exception:  # foreign content may raise anything
        return False


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(data: bytes) -> Generator[Image.Image]:
    """The image in a file, its pixels not yet decoded; whatever codecs raise in the block becomes a BadImageError."""
    if not data:
        raise BadImageError("is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImageError(f"has {image.width}x{image.height} pixels; {MAX_PIXELS} pixels is the most")
            yield image
    except (BadImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImageError(f"has more pixels than {MAX_PIXELS}, the most that is read") from None
    except UnidentifiedImageError as error:
        begins_well = (accepts for name in _formats() if (accepts := Image.OPEN[name][1]) is not None)
        if any(accepts(data[:16]) is True for accepts in begins_well):
            raise BadImageError("is cut off or damaged: its beginning is that of an image") from error
        known = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM or AVIF"
        raise BadImageError(f"is not a {known} file, whatever its name: it begins with {data[:16]!r}") from error
    except Exception as error:  # a damaged file may raise anything that a codec can
        raise BadImageError(f"is cut off or damaged ({printable(str(error))})") from error


def _is_animated(image: Image.Image) -> bool:
    if image.format == "MPO":  # the other images are previews
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # there is a second frame, and it is damaged
        return True


def _orientation(image: Image.Image, data: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where there is none or where EXIF is damaged."""
    # Pillow turns a TIFF by itself, and decodes a whole PNG when asked for its EXIF.
    if image.format == "TIFF" or (image.format == "PNG" and not any(mark in data for mark in _PNG_MAY_BE_TURNED)):
        return 1
    try:
        value: Any = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey of 16 bits, or floats in [0, 1], as 8 bits."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise BadImageError(f"has grey values from {values.min()} to {values.max()}; legal is 0 to {top:g}")
    return np.round(values.astype(np.float32) * np.float32(255.0 / top)).astype(np.uint8)
