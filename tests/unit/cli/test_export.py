"""``ncm export`` in process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.cli.main import main
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter


@pytest.fixture
def aug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of three samples, the fourth missing, in the working folder."""
    monkeypatch.chdir(tmp_path)
    classes = ("cat", "a/b", "dog")
    manifest = Manifest(classes=classes, method="m", config={}, seed=0, plan_hash="p", batch_shape=1, count=4)
    picture = np.zeros((8, 8, 3), np.uint8)
    with DatasetWriter(tmp_path / "aug", manifest) as writer:
        for index, weight in enumerate((0.9, 0.6, 0.2)):
            record = Record(
                file_name="-", index=index, seed=9, class_ids=(0, 1), weights=(weight, 1 - weight), method="m",
                plan_hash="p",
            )  # fmt: skip
            writer.write_batch([(record, picture, None)])
    return tmp_path / "aug"


def run(*argv: Any) -> Any:
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.mark.parametrize(
    ("to", "last"), [("webdataset", "3 images in 1 shard"), ("parquet", "3 images in 1 Parquet file")]
)
def test_shards_are_written_and_what_is_missing_is_said(
    to: str, last: str, aug: Path, tmp_path: Path, capsys: Any
) -> None:
    assert run("export", aug, "--to", to, "--out", tmp_path / "out", "--shard-mb", 1) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'out'}: {last}\n"
    assert "note: 1 of 4 samples not done" in shown.err
    assert "3/3" in shown.err  # the progress bar


def test_folders_by_the_largest_weight(aug: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["--to", "imagefolder-hard-labels", "--out", tmp_path / "out", "--min-weight", "0.7"]
    assert run("export", aug, *words) == 0
    assert json.loads((tmp_path / "out/classes.json").read_text())["images"] == [1, 1, 0]
    assert [file.relative_to(tmp_path / "out").as_posix() for file in sorted((tmp_path / "out").rglob("*.png"))] == [
        "a%2Fb/00000002.png",
        "cat/00000000.png",
    ]
    shown = capsys.readouterr()
    assert "2 images in 2 class folders" in shown.out
    assert "note: 1 image left out: the largest weight is below 0.7" in shown.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--to", "tfrecord", "--out", "x"], "tfrecord"),
        (["--to", "webdataset"], "--out"),
        (["--to", "webdataset", "--out", "."], "exists already"),
        (["--to", "webdataset", "--out", "aug/x"], "lies in the data set"),
        (["--to", "webdataset", "--out", "x", "--min-weight", "0.5"], "Leave it out (--min-weight)"),
        (["--to", "webdataset", "--out", "x", "--shard-samples", "0"], "legal is 1 or more"),
        (["--to", "imagefolder-hard-labels", "--out", "x", "--min-weight", "2"], "legal is 0 to 1"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(
    words: list[str], part: str, aug: Path, tmp_path: Path, capsys: Any
) -> None:
    assert run("export", "aug", *words) == 2
    shown = capsys.readouterr()
    assert part in shown.err + shown.out
    assert "Traceback" not in shown.err + shown.out
    assert list(tmp_path.iterdir()) == [aug]


def test_an_interrupt_says_that_nothing_is_there(aug: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    from ncm_lib.store.export_source import Source

    def interrupted(*_: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(Source, "image", interrupted)
    assert run("export", aug, "--to", "webdataset", "--out", tmp_path / "out") == 130
    assert "ncm: interrupted; nothing is at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [aug]


def test_help_shows_two_runnable_examples(aug: Path, capsys: Any) -> None:
    assert run("export", "--help") == 0
    text = capsys.readouterr().out
    assert text.count("ncm export ") >= 2
