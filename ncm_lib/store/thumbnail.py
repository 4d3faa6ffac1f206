"""A small copy of an image, of a few kilobytes."""

from __future__ import annotations

import base64
import io

from PIL import Image

_SIDE, _BYTES = 128, 6500
"""Pixels of the longer side, and the size that is aimed at: 2,000 of them make a page of under 20 MB."""
_PIXEL_ART = 48
"""Images up to this many pixels per side stay as they are, where that is small enough."""


def thumbnail(picture: Image.Image) -> bytes:
    """A WebP copy of at most 128 pixels per side, lossless where the image is tiny, else as good as 6,500 bytes allow.

    Args:
        picture: RGB.
    """
    if max(picture.size) <= _PIXEL_ART and len(data := _encoded(picture, lossless=True, quality=100)) <= _BYTES:
        return data
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    data = b""
    for quality in (80, 60, 40, 20):
        data = _encoded(small, quality=quality)
        if len(data) <= _BYTES:
            break
    return data


def data_uri(image: bytes, kind: str = "image/webp") -> str:
    """The image as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(image).decode('ascii')}"


def _encoded(picture: Image.Image, *, quality: int, lossless: bool = False) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, lossless=lossless, method=4)
    return buffer.getvalue()
