"""Any image file that people have becomes an upright RGB picture, or one line that names it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ncm_lib.errors import InputError
from ncm_lib.sources.images import MAX_PIXELS, BadImageError, read_header, read_image

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "MPO"]


def two_halves() -> Image.Image:
    """40x20: left red, right blue."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    return image


def colour(image: Image.Image, x: int, y: int) -> str:
    """The name of the colour that a pixel is nearest to."""
    known = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255,) * 3, "black": (0,) * 3, "grey": (128,) * 3}
    pixel = np.array(image.getpixel((x, y)), dtype=int)
    return min(known, key=lambda name: int(np.abs(pixel - known[name]).sum()))


def checked(data: bytes) -> Image.Image:
    """The picture, after a check that the header told its size."""
    image, header = read_image(data), read_header(data)
    assert (image.mode, image.size) == ("RGB", (header.width, header.height))
    assert not image.info
    return image


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_known_by_its_content_whatever_its_name(tmp_path, encode, kind):
    file = tmp_path / "picture.html"
    file.write_bytes(encode(two_halves(), kind))
    image = read_image(file)
    assert (image.mode, image.size) == ("RGB", (40, 20))
    assert (colour(image, 5, 5), colour(image, 35, 5)) == ("red", "blue")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
@pytest.mark.parametrize(
    ("orientation", "size", "red", "blue"),
    [
        (1, (40, 20), (2, 10), (37, 10)),
        (2, (40, 20), (37, 10), (2, 10)),
        (3, (40, 20), (37, 10), (2, 10)),
        (4, (40, 20), (2, 10), (37, 10)),
        (5, (20, 40), (10, 2), (10, 37)),
        (6, (20, 40), (10, 2), (10, 37)),
        (7, (20, 40), (10, 37), (10, 2)),
        (8, (20, 40), (10, 37), (10, 2)),
    ],
)
def test_exif_rotation_is_applied(encode, kind, orientation, size, red, blue):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = checked(encode(two_halves(), kind, exif=exif))
    assert image.size == size
    assert (colour(image, *red), colour(image, *blue)) == ("red", "blue")


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_changes_nothing(encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert checked(encode(two_halves(), "JPEG", exif=exif)).size == (40, 20)


def test_damaged_exif_is_no_reason_to_refuse_the_pixels(encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    broken = whole[:8] + b"\xff" * (len(whole) - 8)
    assert checked(encode(two_halves(), "JPEG", exif=broken)).size == (40, 20)


def test_cmyk_becomes_the_colours_that_were_meant(encode):
    image = checked(encode(two_halves().convert("CMYK"), "JPEG", quality=95))
    assert (colour(image, 5, 5), colour(image, 35, 5)) == ("red", "blue")


def test_sixteen_bits_are_scaled_and_not_cut_off(encode):
    values = np.array([[0, 257 * 40, 257 * 128, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        image = checked(encode(Image.fromarray(values), kind))
        assert np.asarray(image)[0, :, 0].tolist() == [0, 40, 128, 255]


def test_thirty_two_bit_integers_count_as_sixteen_and_floats_as_zero_to_one(encode):
    integers = Image.fromarray(np.array([[0, 65535]], dtype=np.int32))
    floats = Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32))
    for image in (integers, floats):
        assert np.asarray(checked(encode(image, "TIFF")))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("values", [[0.0, 300.0], [float("nan"), 0.5], [-1.0, 0.0]])
def test_floats_whose_range_says_nothing_are_refused(encode, values):
    data = encode(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    with pytest.raises(InputError, match=r"has grey values from .* legal is 0 to 1; save it again"):
        read_image(data)
    with pytest.raises(BadImageError):
        read_header(data)


@pytest.mark.parametrize(
    "mode", ["RGBA", "LA", "P with an index", "P with bytes", "RGB with a colour", "L with a grey", "1"]
)
def test_what_is_transparent_becomes_white_and_the_rest_stays(encode, mode):
    image = Image.new("RGBA", (4, 1), (0, 0, 0, 255))
    image.putpixel((3, 0), (0, 0, 255, 0) if mode == "RGBA" else (9, 9, 9, 0))
    options: dict[str, Any] = {}
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
    elif mode.startswith("P"):
        image = Image.new("P", (4, 1))
        image.putpalette([0, 0, 0, 9, 9, 9])
        image.putpixel((3, 0), 1)
        options["transparency"] = 1 if mode.endswith("index") else b"\xff\x00"
    elif mode == "1":
        image = Image.new("1", (4, 1))
        image.putpixel((3, 0), 1)
    else:
        image = image.convert(mode.partition(" ")[0])
        options["transparency"] = 9 if mode.startswith("L") else (9, 9, 9)
    picture = checked(encode(image, "PNG", **options))
    assert [colour(picture, x, 0) for x in range(4)] == ["black"] * 3 + ["white"]


def test_half_transparent_pixels_are_mixed_with_white(encode):
    data = encode(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))
    assert read_image(data).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_palette_become_rgb(encode, mode):
    assert checked(encode(two_halves().convert(mode), "PNG")).size == (40, 20)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_it_is_the_first_frame(encode, kind):
    data = encode(
        Image.new("RGB", (8, 6), "red"), kind, save_all=True, append_images=[Image.new("RGB", (8, 6), "blue")]
    )
    assert read_header(data).animated
    assert colour(checked(data), 4, 3) == "red"


def test_damage_in_a_later_frame_is_no_reason_to_refuse_the_first(encode):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert data.count(b",\0\0\0\0") == 2
    broken = data[: data.rindex(b",\0\0\0\0") + 5] + b"\xff" * 20
    assert read_header(broken).animated
    assert checked(broken).size == (8, 6)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_single_image_is_not_animated(encode, kind):
    assert not read_header(encode(two_halves(), kind)).animated


def test_a_photograph_with_a_preview_inside_is_not_animated(encode):
    data = encode(two_halves(), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 2))])
    assert not read_header(data).animated
    assert checked(data).size == (40, 20)


@pytest.mark.parametrize("size", [(1, 1), (20000, 10), (1, 3000)])
def test_odd_sizes_are_worked_with(encode, size):
    assert checked(encode(Image.new("L", size), "PNG")).size == size


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused_before_its_pixels_are_needed(tmp_path, encode, kind, share):
    data = encode(3, kind, size=(64, 48))
    file = tmp_path / "robin.jpg"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadImageError):
        read_header(file.read_bytes())
    with pytest.raises(InputError) as error:
        read_image(file)
    assert str(error.value).startswith(f"{file} is cut off or damaged")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bytes_behind_the_end_are_let_be(encode, kind):
    data = encode(two_halves(), kind)
    for trailer in (b"\0\0\0", b"\x00\x00\x00\x18ftypmp42 a motion photo \xff\xda \xff"):
        assert checked(data + trailer).size == (40, 20)


def test_damage_inside_of_a_file_is_found_when_it_is_decoded(encode):
    data = bytearray(encode(3, size=(64, 48)))
    data[len(data) // 2] ^= 0xFF
    assert read_header(bytes(data)).width == 64
    for read in (lambda: read_header(bytes(data), decode=True), lambda: read_image(bytes(data))):
        with pytest.raises((BadImageError, InputError), match="damaged"):
            read()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty (0 bytes)"),
        (b"<!DOCTYPE html><title>404</title>", "whatever its name: it begins with b'<!DOCTYPE html>"),
        (b"\0" * 100, "is not a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM or AVIF file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "is cut off or damaged"),
        (b"GIF89a", "is cut off or damaged"),
        (b"%PDF-1.7 ...", "is not a"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is not a"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is not a"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line_that_names_the_file(tmp_path, content, part):
    file = tmp_path / "robin.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_image(file)
    text = str(error.value)
    assert text.startswith(f"{file} ")
    assert part in text
    assert text.endswith("; save it again as JPEG or PNG, or leave it out.")
    assert "\n" not in text


def png_that_claims(width: int, height: int) -> bytes:
    """A tiny PNG file whose header promises this many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9460, 9460), (30_000, 30_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size):
    with pytest.raises(InputError, match=rf"pixels.*{MAX_PIXELS}.*; save it again"):
        read_image(png_that_claims(*size))


def test_a_bomb_is_refused_where_warnings_are_errors_too():
    with pytest.raises(InputError, match="pixels"):
        read_image(png_that_claims(10_000, 10_000))


def test_a_file_that_is_not_there_or_is_a_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jpg cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path)


def test_only_the_listed_formats_of_pillow_are_ever_tried(encode):
    assert Image.open(io.BytesIO(encode(two_halves(), "TGA"))).format == "TGA"
    for kind in ("TGA", "ICO", "PCX", "EPS", "ICNS", "JPEG2000"):
        with pytest.raises(InputError, match="is not a"):
            read_image(encode(two_halves().resize((64, 64)), kind))


def test_bytes_can_be_given_a_name_for_messages():
    with pytest.raises(InputError, match=r"^the third one is empty"):
        read_image(b"", "the third one")
