"""Real images of three classes, different in size and number, and short trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncm_lib import SourceListing, load_source


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of robins, two of wrens, three of owls; every one is another."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, count in {"owl": 3, "robin": 5, "wren": 2}.items():
        (folder / name).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (20 + number, 26 - 2 * number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(picture_folder: Path) -> SourceListing:
    return load_source(picture_folder)
