"""A data set in a training loop."""

from __future__ import annotations

import pickle
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


def test_workers_that_start_anew_get_the_data_set_by_pickle(dataset: Any) -> None:
    data = SyntheticDataset(dataset())
    loader = DataLoader(data, batch_size=5, num_workers=1, multiprocessing_context="spawn")
    images, labels = next(iter(loader))
    torch.testing.assert_close(images, torch.stack([data[index][0] for index in range(5)]))
    torch.testing.assert_close(labels, torch.stack([data[index][1] for index in range(5)]))


def test_records_are_a_sequence_that_stays_on_disk(dataset: Any, item: Any) -> None:
    records = SyntheticDataset(dataset([4, 1, 3])).records
    assert [record.index for record in records] == [1, 3, 4]
    assert (records[-1].index, records[0].index, len(records)) == (4, 1, 3)
    assert [record.index for record in records[1:]] == [3, 4]
    assert [record.index for record in reversed(records)] == [4, 3, 1]
    assert records[1] in records
    assert records[1].weights == item(3)[0].weights
    for index in (3, -4):
        with pytest.raises(IndexError):
            records[index]


def test_a_sample_takes_a_few_bytes_in_memory_and_in_a_pickle(dataset: Any) -> None:
    few = len(pickle.dumps(SyntheticDataset(dataset([0, 1], count=300))))
    many = len(pickle.dumps(SyntheticDataset(dataset(count=300))))
    assert (many - few) / 298 == pytest.approx(16, abs=1)


@pytest.mark.parametrize("rewrite", ["in another order", "shorter", "gone"])
def test_a_log_that_was_written_anew_is_told_instead_of_giving_another_sample(rewrite: str, dataset: Any) -> None:
    path = dataset()
    data = SyntheticDataset(path)
    log = path / "metadata-0.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    if rewrite == "gone":
        log.unlink()
    else:
        log.write_text("".join(lines[::-1] if rewrite == "in another order" else lines[:1]))
    with pytest.raises(InputError, match=r"record of sample 4 is no longer where it was.*Open the data set again"):
        data[4]


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
