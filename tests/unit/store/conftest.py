"""A small data set, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter, Item

CLASSES = ("T-shirt", "pull/over", "größe 🎽", ".hidden")


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    """Makes a manifest of 5 samples; keywords replace fields."""

    def make(**fields: Any) -> Manifest:
        usual: dict[str, Any] = {
            "classes": CLASSES, "method": "noisecutmix", "config": {"alpha": 1.0}, "seed": 0, "plan_hash": "plan",
            "render_hash": "render", "render": {"steps": 25}, "batch_shape": 2, "count": 5,
        }  # fmt: skip
        return Manifest(**(usual | fields))

    return make


@pytest.fixture
def item() -> Callable[..., Item]:
    """Makes sample ``index``: its record, an image of noise, and a mask whose mean is the first class's weight."""

    def make(index: int, size: int = 16, **fields: Any) -> Item:
        image = np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)
        mask = np.ones((8, 8), dtype=np.float32)
        mask[: 1 + index % 8, :3] = 0
        weight = float(mask.mean())
        usual: dict[str, Any] = {
            "file_name": "-", "index": index, "seed": index + 7, "class_ids": (index % 4, (index + 1) % 4),
            "weights": (weight, 1 - weight), "box": (0, 0, 3, 1 + index % 8), "method": "noisecutmix",
            "plan_hash": "plan",
        }  # fmt: skip
        return Record(**(usual | fields)), image, mask

    return make


@pytest.fixture
def dataset(tmp_path: Path, manifest: Callable[..., Manifest], item: Callable[..., Item]) -> Callable[..., Path]:
    """Writes a data set: the samples ``indices`` of those that ``fields`` of the manifest plan."""

    def make(indices: Iterable[int] | None = None, **fields: Any) -> Path:
        path = tmp_path / "data"
        with DatasetWriter(path, manifest(**fields)) as writer:
            writer.write_batch([item(index) for index in (writer.missing() if indices is None else indices)])
        return path

    return make
