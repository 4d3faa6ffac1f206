"""The grid that one sees first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ncm_lib.store.preview import preview
from ncm_lib.store.writer import DatasetWriter


def test_small_images_are_shown_large_in_whole_pixels(dataset: Any, item: Any) -> None:
    path = dataset([0])
    with Image.open(path / "preview.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    # 16 px become 9 x 16 = 144; away from the mask's outline each pixel is a block of 9 x 9
    shown = pixels[26 : 26 + 144, 26 : 26 + 144]
    block = shown[12 * 9 : 13 * 9, 12 * 9 : 13 * 9].reshape(-1, 3)
    assert (block == item(0)[1][12, 12]).all()


def test_the_outline_has_each_side_in_its_class_s_colour(manifest: Any, item: Any, tmp_path: Path) -> None:
    record, _, _ = item(0)
    mask = np.ones((8, 8), np.float32)
    mask[:, :4] = 0
    with DatasetWriter(tmp_path, manifest(count=1)) as writer:
        writer.write_batch([(record, np.zeros((16, 16, 3), np.uint8), mask)])
    with Image.open(tmp_path / "preview.png") as image:
        row = np.asarray(image.convert("RGB"))[26 + 70, 26 : 26 + 144]
    assert row[71].tolist() == [0xF0, 0x8C, 0x1A]  # the second class, left of the border
    assert row[72].tolist() == [0x1F, 0x77, 0xD0]  # the first class, right of it
    assert not row[:70].any()
    assert not row[74:].any()


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (5, 5, 1), (8, 8, 1), (9, 8, 2), (33, 8, 4)])
def test_the_grid_holds_up_to_32_samples(count: int, columns: int, rows: int, dataset: Any) -> None:
    with Image.open(dataset(range(count), count=count) / "preview.png") as image:
        width, height = image.size
    assert width == 2 * 26 + columns * 144 + (columns - 1) * 18
    assert rows * 144 < height < rows * 144 * 1.7 + 60


def test_more_cells_can_be_asked_for_later(dataset: Any) -> None:
    path = dataset(range(33), count=33)
    with Image.open(path / "preview.png") as before, Image.open(preview(path, cells=33)) as after:
        assert after.height > before.height


def test_names_of_any_length_and_script_keep_the_grid_in_shape(manifest: Any, item: Any, tmp_path: Path) -> None:
    classes = ("Black_footed_Albatross_of_the_northern_Pacific", "größe 🎽", "中文", "'\"<>&")
    for name, wanted in (("long", classes), ("short", ("a", "b", "c", "d"))):
        with DatasetWriter(tmp_path / name, manifest(count=2, classes=wanted)) as writer:
            writer.write_batch([item(0), item(1)])
    with Image.open(tmp_path / "long/preview.png") as long, Image.open(tmp_path / "short/preview.png") as short:
        assert long.size == short.size


def test_a_damaged_image_leaves_the_picture_of_the_others(dataset: Any) -> None:
    path = dataset()
    image = path / "images/000/00000002.png"
    image.write_bytes(b"\0" * image.stat().st_size)
    with Image.open(preview(path)) as grid:
        assert grid.width == 2 * 26 + 4 * 144 + 3 * 18


def test_samples_without_a_mask_and_with_one_or_three_classes_are_drawn(
    manifest: Any, item: Any, tmp_path: Path
) -> None:
    record, image, _ = item(0)
    one = dataclasses.replace(record, class_ids=(1,), weights=(1.0,))
    three = dataclasses.replace(item(1)[0], class_ids=(0, 1, 2), weights=(0.5, 0.5, 0.0))
    with DatasetWriter(tmp_path, manifest(count=2)) as writer:
        writer.write_batch([(one, image, None), (three, image, None)])
    assert (tmp_path / "preview.png").is_file()
