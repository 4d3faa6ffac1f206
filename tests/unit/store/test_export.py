"""Exports of every format: whole or not there, the same bytes again, refusals in plain words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ncm_lib
from ncm_lib.errors import InputError, MissingExtraError
from ncm_lib.store.export import export

FORMATS = ("webdataset", "parquet", "imagefolder-hard-labels")
SHARDED = FORMATS[:2]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("to", FORMATS)
def test_two_exports_have_the_same_bytes_whenever_they_are_made(to: Any, dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    first = export(path, to=to, out=tmp_path / "first")
    for file in path.rglob("*.png"):
        os.utime(file, (1, 1))
    second = export(path, to=to, out=tmp_path / "second")
    assert files_in(first.path) == files_in(second.path)
    assert first.count == second.count == 5
    assert first.notes == ()


@pytest.mark.parametrize("to", FORMATS)
def test_the_data_set_stays_as_it_was(to: Any, dataset: Any, tmp_path: Path) -> None:
    path = dataset()
    before = files_in(path)
    export(path, to=to, out=tmp_path / "out")
    assert files_in(path) == before


@pytest.mark.parametrize("to", FORMATS)
def test_missing_samples_are_said_and_the_others_are_there(to: Any, dataset: Any, tmp_path: Path) -> None:
    exported = export(dataset([4, 1]), to=to, out=tmp_path / "out")
    assert exported.count == 2
    assert exported.notes[0] == "3 of 5 samples not done and so not there; run the generation again"


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_that_ends_early_leaves_nothing(to: Any, dataset: Any, tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    path = dataset()
    with pytest.raises(KeyboardInterrupt):
        export(path, to=to, out=tmp_path / "out", on_progress=stop)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", FORMATS)
def test_progress_goes_from_none_to_all_sample_by_sample(to: Any, dataset: Any, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    export(dataset(), to=to, out=tmp_path / "out", on_progress=lambda done, count: calls.append((done, count)))
    assert calls == [(done, 5) for done in range(6)]


@pytest.mark.parametrize("to", FORMATS)
def test_an_image_that_vanishes_on_the_way_ends_the_export_with_its_name(to: Any, dataset: Any, tmp_path: Path) -> None:
    path = dataset()

    def remove(done: int, _: int) -> None:
        if done == 2:
            (path / "images/000/00000002.png").unlink()

    with pytest.raises(InputError, match=r"00000002\.png cannot be read .*`ncm verify`"):
        export(path, to=to, out=tmp_path / "out", on_progress=remove)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", SHARDED)
def test_an_image_that_changes_on_the_way_is_refused(to: Any, dataset: Any, tmp_path: Path) -> None:
    path = dataset()

    def change(done: int, _: int) -> None:
        if done == 2:
            (path / "images/000/00000002.png").write_bytes(b"other")

    with pytest.raises(InputError, match=r"00000002\.png has 5 bytes, and its record tells \d+"):
        export(path, to=to, out=tmp_path / "out", on_progress=change)


@pytest.mark.parametrize("to", FORMATS)
def test_a_target_that_exists_is_refused_untouched(to: Any, dataset: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(InputError, match="out exists already"):
        export(dataset(), to=to, out=out)
    assert [file.name for file in out.iterdir()] == ["mine"]


@pytest.mark.parametrize("inside", ["out", "images/out", "../data", "."])
def test_a_target_inside_of_the_data_set_is_refused(inside: str, dataset: Any) -> None:
    path = dataset()
    with pytest.raises(InputError, match="lies in the data set"):
        export(path, to="webdataset", out=path / inside)


def test_what_a_killed_export_left_is_said(dataset: Any, tmp_path: Path) -> None:
    (tmp_path / ".out.0.tmp").mkdir()
    exported = export(dataset(), to="imagefolder-hard-labels", out=tmp_path / "out")
    assert exported.notes[0].endswith(".out.0.tmp was left by an export that was killed, or that still runs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "tfrecord"}, "format 'tfrecord' is not known; legal: webdataset, parquet, imagefolder-hard-labels"),
        ({"to": "webdataset", "min_weight": 0.5}, "min_weight is for imagefolder-hard-labels: webdataset keeps"),
        ({"to": "imagefolder-hard-labels", "shard_samples": 5}, "one file per image"),
        ({"to": "imagefolder-hard-labels", "shard_mb": 5}, "one file per image"),
        ({"to": "imagefolder-hard-labels", "min_weight": 1.5}, "min_weight is 1.5; legal is 0 to 1"),
        ({"to": "imagefolder-hard-labels", "min_weight": float("nan")}, "min_weight is nan; legal is 0 to 1"),
        ({"to": "webdataset", "shard_samples": 0}, "at most 0 samples and 256 MB holds nothing"),
        ({"to": "parquet", "shard_mb": 0}, "at most 10000 samples and 0 MB holds nothing"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, message: str, dataset: Any, tmp_path: Path) -> None:
    # not `export` itself: a format that is not known is what the annotation forbids
    call = getattr(export, "__wrapped__", export)
    with pytest.raises(InputError, match=message):
        call(dataset(), out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_no_data_set_and_one_without_a_sample_are_refused(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        export(tmp_path, to="parquet", out=tmp_path.parent / "out")
    with pytest.raises(InputError, match=r"without a finished sample \(5 planned\)"):
        export(dataset([]), to="parquet", out=tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("to", SHARDED)
def test_a_missing_package_names_the_extra(to: Any, dataset: Any, tmp_path: Path, monkeypatch: Any) -> None:
    import importlib

    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] in ("webdataset", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return real(name, package)

    path = dataset()
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"noisecutmix\[data\]"):
        export(path, to=to, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_the_library_offers_it() -> None:
    assert ncm_lib.export is export


def test_every_format_of_image_is_taken_as_it_is(dataset: Any, tmp_path: Path) -> None:
    path = dataset(image_format="webp")
    export(path, to="imagefolder-hard-labels", out=tmp_path / "out")
    exported = {file.name: file.read_bytes() for file in (tmp_path / "out").rglob("*.webp")}
    assert exported == {file.name: file.read_bytes() for file in path.rglob("*.webp")}


@pytest.mark.parametrize("to", SHARDED)
def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(to: Any, dataset: Any, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = dataset()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(InputError, match="out cannot be written: a file would be larger than this system allows"):
            export(path, to=to, out=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [path]
