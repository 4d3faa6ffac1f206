"""A run whose disk is full, or goes away: a clear error, and what is there stays valid."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, generate, verify
from ncm_lib.cli.main import main

resource = pytest.importorskip("resource")
COUNT = 24


def make(model: Any, out: Path, **options: Any) -> Any:
    method = NoiseCutMix(classes=ClassList.of(["sneaker", "bag", "coat"]), placement="inside")
    settings = RenderSettings(num_inference_steps=2)
    return generate(method, model, out=out, count=COUNT, batch_size=4, settings=settings, **options)


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    names = {file.relative_to(path).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in names.items() if name not in ("metadata-0.jsonl", "stats.jsonl")}


@pytest.fixture(scope="module")
def whole(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "set"
    make(tiny_model, path)
    return path


@pytest.fixture
def full(tmp_path: Path) -> Generator[Path]:
    """A disk of its own that has room for some 30 files."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "none", str(mount)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def assert_goes_on(path: Path, model: Any, whole: Path) -> None:
    """What is there is sound, and the same run on another disk ends in the bytes of an undisturbed one."""
    there = len(list(path.glob("images/*/*.png")))
    assert 0 < there < COUNT
    made = make(model, path).made
    assert COUNT - there <= made < COUNT
    assert verify(path).ok, verify(path)
    assert contents(path) == contents(whole)


def test_a_disk_that_is_full_ends_the_command_with_what_to_do(
    full: Path, tiny_folder: Path, tiny_model: Any, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "generate", "noisecutmix", "--model", str(tiny_folder), "--classes", "sneaker,bag,coat", "--count", str(COUNT),
        "--batch-size", "4", "--num-inference-steps", "2", "--device", "cpu", "--placement", "inside",
    ]  # fmt: skip
    assert main([*command, "--out", str(full / "set")]) == 2
    told = capsys.readouterr().err
    assert "cannot be written: the disk is full; free some space" in told
    assert "Every sample recorded so far stays valid; run the same command again" in told
    shutil.copytree(full / "set", tmp_path / "roomy")
    assert_goes_on(tmp_path / "roomy", tiny_model, whole)


def test_a_limit_on_file_sizes_ends_the_run_and_images_without_a_line_are_taken_up(
    tiny_model: Any, whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / "set"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file grows beyond that: the log ends first, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written: a file would be larger than this system allows"):
            make(tiny_model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_goes_on(path, tiny_model, whole)


def test_a_folder_that_is_deleted_during_the_run_is_told_and_not_made_again(tiny_model: Any, tmp_path: Path) -> None:
    path = tmp_path / "set"

    def delete(progress: Any) -> None:
        if progress.made >= 8 and path.exists():
            shutil.rmtree(path)

    with pytest.raises(InputError, match=r"the folder is gone \(deleted or unmounted during the run\?\)"):
        make(tiny_model, path, on_progress=delete)
    assert not path.exists()
