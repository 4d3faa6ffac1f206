"""Small images of every kind, and folders of them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Encode = Callable[..., bytes]
Write = Callable[[Mapping[str, "bytes | int"]], Path]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Encodes an image: a PIL image, or the noise of a seed."""

    def make(
        image: Image.Image | int = 0, image_format: str = "PNG", size: tuple[int, int] = (8, 6), **options: Any
    ) -> bytes:
        if isinstance(image, int):
            pixels = np.random.default_rng(image).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            image = Image.fromarray(pixels)
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return make


@pytest.fixture
def write(tmp_path: Path, encode: Encode) -> Write:
    """Writes files below ``tmp_path/birds``: bytes as they are, numbers as the PNG of the noise of that seed."""

    def make(files: Mapping[str, bytes | int]) -> Path:
        root = tmp_path / "birds"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            file = root / os.fsdecode(os.fsencode(name))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(content) if isinstance(content, int) else content)
        return root

    return make
