"""``ncm preview`` in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.cli.main import main
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter


@pytest.fixture
def aug(tmp_path: Path) -> Path:
    """A data set of one sample."""
    manifest = Manifest(classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", batch_shape=1, count=1)
    record = Record(file_name="-", index=0, seed=9, class_ids=(0, 1), weights=(0.5, 0.5), method="m", plan_hash="p")
    with DatasetWriter(tmp_path / "aug", manifest) as writer:
        writer.write_batch([(record, np.zeros((8, 8, 3), np.uint8), None)])
    (tmp_path / "aug/preview.png").unlink()
    return tmp_path / "aug"


def test_picture_and_page_are_written_and_named(aug: Path, capsys: Any) -> None:
    assert main(["preview", str(aug)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(aug / "preview.png"), str(aug / "preview.html")]
    assert "1/1" in shown.err
    assert (aug / "preview.png").is_file()
    assert (aug / "preview.html").is_file()


def test_the_page_can_be_left_out(aug: Path, capsys: Any) -> None:
    assert main(["preview", str(aug), "--no-page"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(aug / "preview.png")]
    assert not (aug / "preview.html").exists()


@pytest.mark.parametrize("words", [["--count", "0"], ["--page-count", "-1"]])
def test_no_samples_at_all_are_refused(words: list[str], aug: Path, capsys: Any) -> None:
    assert main(["preview", str(aug), *words]) == 2
    assert "legal is 1 or more" in capsys.readouterr().err
