"""Small copies."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ncm_lib.store.thumbnail import data_uri, thumbnail


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("size", "small"), [((512, 512), (128, 128)), ((200, 100), (128, 64)), ((2000, 1), (128, 1))])
def test_large_images_are_reduced(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert opened(thumbnail(noise(*size))).size == small


def test_tiny_images_keep_every_pixel() -> None:
    picture = noise(32, 48)
    np.testing.assert_array_equal(np.asarray(opened(thumbnail(picture)).convert("RGB")), np.asarray(picture))


@pytest.mark.parametrize("size", [(16, 16), (48, 48), (96, 96), (512, 512), (4000, 500)])
def test_even_noise_stays_small_enough_for_two_thousand_on_a_page(size: tuple[int, int]) -> None:
    assert len(thumbnail(noise(*size))) < 7000


def test_the_picture_itself_stays_as_it_was() -> None:
    picture = noise(300, 300)
    thumbnail(picture)
    assert picture.size == (300, 300)


def test_an_address_holds_the_image() -> None:
    assert base64.b64decode(data_uri(b"abc").removeprefix("data:image/webp;base64,")) == b"abc"
