"""Image files that carry their record, and mask files."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import io
import re
from contextlib import closing
from pathlib import Path
from typing import Literal, cast

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import InputError
from ..typing import Float32
from .layout import ImageFormat
from .record import Array, Record

Picture = Image.Image | Array
"""A PIL image, or uint8 [H, W, 3]."""

_KEY = "ncm"
_EXIF_IFD, _USER_COMMENT, _ORIENTATION = 0x8769, 0x9286, 0x0112
_ASCII = b"ASCII\0\0\0"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:ncm="urn:ncm:1"><ncm:record>{}</ncm:record></rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)


def encode_image(picture: Picture, record: Record, image_format: ImageFormat = "png") -> bytes:
    """Encode an image with its record inside; equal input gives equal bytes.

    Nothing else goes in: what the picture carries of its own (text, EXIF, colour profile) stays behind.

    Args:
        picture: a PIL image, or uint8 [H, W, 3].
        record: goes in as JSON without its ``bytes``: PNG iTXt ``ncm``, WebP XMP, or JPEG EXIF UserComment.
        image_format: png (level 1), lossless webp, or jpeg (quality 95, full colour resolution).

    Raises:
        InputError: an array of another type or shape, or an image that the format cannot hold (WebP ends at 16,383
            pixels a side, JPEG at 65,500).
    """
    image = Image.fromarray(_pixels(picture))
    text = record.embedded().to_json()
    try:
        return _encoded(image, text, image_format)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{record.file_name} cannot be encoded as {image_format}: {image.width} x {image.height} pixels ({error}). "
            "Take png, which has no such limits."
        ) from error


def decode_image(data: bytes, where: str) -> Image.Image:
    """Decode a whole image file to RGB.

    Raises:
        InputError: it is truncated, damaged, no image, has bytes behind its end, or is of a kind that this format does
            not write (CMYK, 16 bit, palette, alpha, animated, turned by EXIF); the message starts with ``where``.
    """
    return _decoded(data, where, ("RGB",), "8-bit RGB")


def embedded_record(file: Path | bytes, where: str, *, size: int | None = None) -> Record:
    """Read the record that an image carries, from the head of the file (the pixels are not decoded).

    Args:
        file: the image.
        where: for messages.
        size: of the file, to fill in.

    Raises:
        InputError: no image, no record in it, or a record that is not of the format.
    """
    try:
        with closing(_open(file)) as image:
            text = _embedded_text(image)
    except Exception as error:  # as above
        raise InputError(f"{where} cannot be read as an image ({error}).") from error
    if text is None:
        raise InputError(f"{where} carries no record: no data set of format ncm-1 wrote it.")
    return dataclasses.replace(Record.from_json(text, f"The record in {where}"), bytes=size)


def checked_record(data: bytes, where: str) -> Record:
    """As ``embedded_record`` with the file's size, of an image file that is whole.

    The pixels are not decoded, so this is quick; it sees what is cut off or added, and in PNG every flipped bit.

    Raises:
        InputError: as ``embedded_record``, or the file is truncated, damaged or has bytes behind its end.
    """
    _check_file(data, where)
    return embedded_record(data, where, size=len(data))


def encode_mask(mask: Array) -> bytes:
    """Encode a mask [H, W] with values in [0, 1] as PNG: 1 bit where all are 0 or 1, else 8 bit.

    Raises:
        InputError: another shape, NaN, or values outside of [0, 1].
    """
    if mask.ndim != 2 or not mask.size:
        raise InputError(f"The mask has the shape {list(mask.shape)}; legal is [height, width].")
    values = mask.astype(np.float32)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise InputError("The mask has NaN or values outside of [0, 1]; clamp it or mend what made it.")
    image = Image.fromarray(values == 1) if is_binary(values) else Image.fromarray(_bytes(values))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_mask(data: bytes, where: str) -> Float32[Array, "h w"]:
    """Decode a mask file to values in [0, 1].

    Raises:
        InputError: damaged, or not a mask (1-bit or 8-bit grey PNG).
    """
    image = _decoded(data, where, ("1", "L"), "1-bit or 8-bit grey")
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def is_binary(mask: Array) -> bool:
    """Whether a mask is all 0 and 1: its mean is then exact on disk."""
    return bool(np.logical_or(mask == 0, mask == 1).all())


def mask_sha256(mask: Array) -> str:
    """sha256 of a mask's content, whichever library encodes its file: of the mask as a binary PGM file of 8 bits.

    That file is the text ``P5``, width, height and ``255``, then a byte per cell, row by row.

    Args:
        mask: [H, W], values in [0, 1].

    Example:
        >>> mask_sha256(np.eye(2))[:16]
        'cccb9ad4def7b8aa'
    """
    height, width = mask.shape
    return hashlib.sha256(f"P5\n{width} {height}\n255\n".encode() + _bytes(mask).tobytes()).hexdigest()


def _encoded(image: Image.Image, text: str, image_format: ImageFormat) -> bytes:
    buffer = io.BytesIO()
    if image_format == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt(_KEY, text)
        image.save(buffer, "PNG", compress_level=1, pnginfo=info)
    elif image_format == "webp":
        image.save(buffer, "WEBP", lossless=True, quality=40, method=2, xmp=_XMP.format(html.escape(text)).encode())
    else:
        exif = Image.Exif()
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _ASCII + text.encode("ascii")
        image.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    return buffer.getvalue()


def _open(file: Path | bytes) -> Image.Image:
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    return cast("Image.Image", Image.open(source, formats=("PNG", "WEBP", "JPEG")))


def _check_file(data: bytes, where: str) -> None:
    """Whether the file is an image that ends where it says, without decoding it."""
    try:
        with closing(_open(data)) as image:
            kind = cast("Literal['PNG', 'WEBP', 'JPEG']", image.format)
            image.verify()
    except Exception as error:  # a damaged file may raise anything that a codec can
        raise InputError(f"{where} is damaged: {len(data)} bytes that do not decode ({error}).") from error
    if _end(data, kind) != len(data):
        raise InputError(f"{where} is damaged: {len(data)} bytes, and the image ends at byte {_end(data, kind)}.")


def _decoded(data: bytes, where: str, modes: tuple[str, ...], legal: str) -> Image.Image:
    _check_file(data, where)
    try:
        with closing(_open(data)) as image:
            frames = int(getattr(image, "n_frames", 1))
            picture = image.copy()
            turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception as error:  # as above
        raise InputError(f"{where} is damaged: {len(data)} bytes that do not decode ({error}).") from error
    if picture.mode not in modes or frames > 1 or turned:
        kind = f"{frames} frames" if frames > 1 else "turned by EXIF" if turned else f"of the mode {picture.mode}"
        raise InputError(f"{where} was not written by this format: it is {kind}; legal is {legal}, one frame, upright.")
    return picture


def _bytes(mask: Array) -> Array:
    return np.round(mask.astype(np.float32) * 255).astype(np.uint8)


def _pixels(picture: Picture) -> Array:
    pixels = np.asarray(picture.convert("RGB")) if isinstance(picture, Image.Image) else picture
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InputError(f"The image is {pixels.dtype} {list(pixels.shape)}; legal is uint8 [height, width, 3].")
    return np.ascontiguousarray(pixels)


def _embedded_text(image: Image.Image) -> str | None:
    info = cast("dict[str, object]", image.info)
    if image.format == "PNG":
        text = info.get(_KEY)
        return text if isinstance(text, str) else None
    if image.format == "WEBP":
        packet = info.get("xmp")
        text = packet.decode("utf-8") if isinstance(packet, bytes) else ""
        match = re.search(r"<ncm:record>(.*?)</ncm:record>", text)
        return html.unescape(match[1]) if match else None
    comment: object = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if isinstance(comment, bytes) and comment.startswith(_ASCII):
        return comment[len(_ASCII) :].decode("ascii")
    return None


def _end(data: bytes, kind: Literal["PNG", "WEBP", "JPEG"]) -> int:
    """Where the image ends by its own account."""
    if kind == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8
    if kind == "PNG":
        return data.find(_PNG_END) + len(_PNG_END)
    return data.find(b"\xff\xd9", data.find(b"\xff\xda")) + 2
