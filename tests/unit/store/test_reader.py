"""A data set in a training loop."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ncm_lib.errors import InputError
from ncm_lib.store.reader import SyntheticDataset


def test_an_item_is_the_image_in_0_to_1_and_its_soft_label(dataset: Any, item: Any) -> None:
    data = SyntheticDataset(dataset())
    image, label = data[3]
    record, pixels, _ = item(3)
    assert len(data) == 5
    assert image.dtype == label.dtype == torch.float32
    np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0).numpy(), pixels)
    np.testing.assert_array_equal(label.numpy(), record.soft_label(4))
    assert data.classes == ("T-shirt", "pull/over", "größe 🎽", ".hidden")
    assert data.records[3].seed == record.seed


def test_a_transform_gets_an_rgb_image(dataset: Any) -> None:
    data = SyntheticDataset(dataset(), transform=lambda image: (image.mode, image.size))
    assert data[0][0] == ("RGB", (16, 16))


def test_workers_load_batches(dataset: Any) -> None:
    batches = list(DataLoader(SyntheticDataset(dataset()), batch_size=3, num_workers=2))
    assert [tuple(images.shape) for images, _ in batches] == [(3, 3, 16, 16), (2, 3, 16, 16)]
    torch.testing.assert_close(torch.cat([labels for _, labels in batches]).sum(1), torch.ones(5))


def test_an_unfinished_data_set_gives_what_is_done(dataset: Any, item: Any) -> None:
    data = SyntheticDataset(dataset([4, 1]))
    assert [record.index for record in data.records] == [1, 4]
    np.testing.assert_array_equal(data[1][1].numpy(), item(4)[0].soft_label(4))


def test_labels_come_from_the_records_wherever_the_folder_lies(dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    before = [label for _, label in SyntheticDataset(path)]  # pyright: ignore[reportGeneralTypeIssues]
    moved = tmp_path / "class_3_dog"
    shutil.copytree(path, moved)
    assert all(torch.equal(a, b) for (_, a), b in zip(SyntheticDataset(moved), before, strict=True))  # pyright: ignore


@pytest.mark.parametrize("keep", [["metadata.jsonl"], ["metadata-0.jsonl"]])
def test_either_the_index_or_the_log_is_enough(dataset: Any, keep: list[str]) -> None:
    path = dataset()
    for file in path.glob("metadata*"):
        if file.name not in keep:
            file.unlink()
    assert len(SyntheticDataset(path)) == 5


def test_a_folder_that_is_no_data_set_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        SyntheticDataset(tmp_path)


def test_a_data_set_without_a_sample_is_told(dataset: Any) -> None:
    with pytest.raises(InputError, match="without a finished sample"):
        SyntheticDataset(dataset([]))


def test_damage_is_a_warning_and_foreign_files_are_none(dataset: Any) -> None:
    path = dataset()
    (path / "images/000/.DS_Store").touch()
    (path / "notes.txt").touch()
    assert len(SyntheticDataset(path)) == 5
    with (path / "metadata-0.jsonl").open("a") as log:
        log.write('{"torn')
    with pytest.warns(UserWarning, match=r"metadata-0\.jsonl line 6"):
        assert len(SyntheticDataset(path)) == 5


def test_an_image_that_vanished_is_told_on_reading(dataset: Any) -> None:
    data = SyntheticDataset(dataset())
    (data.path / "images/000/00000002.png").unlink()
    with pytest.raises(InputError, match=r"00000002\.png cannot be read"):
        data[2]
