"""Images that carry their record; masks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from ncm_lib.errors import InputError
from ncm_lib.store.images import decode_image, decode_mask, embedded_record, encode_image, encode_mask

FORMATS = ("png", "webp", "jpeg")


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_carries_its_record_but_for_its_own_size(image_format: Any, item: Any, tmp_path: Path) -> None:
    record, image, _ = item(2, source="größe \" <&> '", bytes=123)
    path = tmp_path / "image"
    path.write_bytes(encode_image(image, record, image_format))
    assert embedded_record(path, "it") == record.embedded()
    assert embedded_record(path, "it").bytes is None


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_keep_every_pixel(image_format: Any, item: Any) -> None:
    record, image, _ = item(2)
    np.testing.assert_array_equal(np.asarray(decode_image(encode_image(image, record, image_format), "it")), image)


def test_a_jpeg_stays_close_in_full_colour_resolution(item: Any) -> None:
    record, _, _ = item(2)
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, ::2] = (255, 0, 0)
    decoded = np.asarray(decode_image(encode_image(image, record, "jpeg"), "it")).astype(int)
    assert np.abs(decoded - image).mean() < 4


@pytest.mark.parametrize("image_format", FORMATS)
def test_equal_input_gives_equal_bytes(image_format: Any, item: Any) -> None:
    record, image, _ = item(2)
    assert encode_image(image, record, image_format) == encode_image(Image.fromarray(image), record, image_format)


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_the_given_picture_carries_stays_behind(image_format: Any, item: Any) -> None:
    record, image, _ = item(2)
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "secret prompt of /home/me")
    exif = Image.Exif()
    exif[0x013B] = "secret artist"
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=info, exif=exif, icc_profile=profile)
    loaded = Image.open(buffer)
    loaded.load()
    assert encode_image(loaded, record, image_format) == encode_image(image, record, image_format)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data + data,
        lambda data: b"<html></html>",
    ],
    ids=["empty", "head only", "half", "a byte short", "a byte long", "twice", "html"],
)
def test_a_damaged_image_is_refused(image_format: Any, damage: Callable[[bytes], bytes], item: Any) -> None:
    record, image, _ = item(2)
    data = encode_image(image, record, image_format)
    decode_image(data, "it")
    with pytest.raises(InputError, match=r"^images/x is damaged"):
        decode_image(damage(data), "images/x")


def test_a_flipped_bit_in_a_png_is_seen(item: Any) -> None:
    record, image, _ = item(2)
    data = bytearray(encode_image(image, record))
    data[-40] ^= 1
    with pytest.raises(InputError, match="damaged"):
        decode_image(bytes(data), "it")


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_of_another_program_carries_no_record(image_format: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, image_format)
    with pytest.raises(InputError, match="carries no record"):
        embedded_record(buffer.getvalue(), "it")


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8)])
def test_arrays_of_another_kind_are_refused(image: Any, item: Any) -> None:
    with pytest.raises(InputError, match=r"legal is uint8 \[height, width, 3\]"):
        encode_image(image, item(0)[0])


def test_a_binary_mask_takes_one_bit_and_keeps_its_mean(item: Any) -> None:
    mask = item(3)[2]
    data = encode_mask(mask)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
    np.testing.assert_array_equal(decode_mask(data, "it"), mask)


def test_a_soft_mask_takes_eight_bits() -> None:
    mask = np.linspace(0, 1, 63, dtype=np.float32).reshape(7, 9)
    decoded = decode_mask(encode_mask(mask), "it")
    assert np.abs(decoded - mask).max() <= 0.5 / 255 + 1e-7


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1, 255])
def test_a_mask_outside_of_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="mask has NaN or values outside"):
        encode_mask(np.full((4, 4), value, dtype=np.float32))


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \[1, 4, 4\]"):
        encode_mask(np.zeros((1, 4, 4)))
