"""Full, read-only and vanishing disks: a clear error, and what was written stays valid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter, Item

resource = pytest.importorskip("resource")
ROOT = Path(__file__).parents[2]
MANIFEST = Manifest(classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", batch_shape=2, count=40)


def item(index: int, size: int = 8) -> Item:
    image = np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)
    record = Record(file_name="-", index=index, seed=9, class_ids=(0, 1), weights=(1.0, 0.0), method="m", plan_hash="p")
    return record, image, np.ones((4, 4), np.float32)


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """No file of this process grows beyond ``size`` bytes: the system's own error, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def finish(path: Path) -> list[int]:
    with DatasetWriter(path, MANIFEST) as writer:
        missing = writer.missing()
        writer.write_batch([item(index) for index in missing])
    assert verify(path).ok, verify(path)
    return missing


def test_an_image_that_does_not_fit_leaves_no_part_and_the_rest_valid(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, MANIFEST) as writer:
        writer.write_batch([item(0), item(1)])
        with largest_file(50_000), pytest.raises(InputError, match=r"cannot be written: .*run the same command again"):
            writer.write_batch([item(2), item(3, size=256)])
        assert writer.missing(0, 4) == [2, 3]
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".tmp")]
    assert finish(tmp_path) == list(range(2, 40))


def test_a_log_that_cannot_grow_ends_in_a_whole_line_and_its_images_are_taken_up(tmp_path: Path) -> None:
    log = tmp_path / "metadata-0.jsonl"
    with DatasetWriter(tmp_path, MANIFEST) as writer:
        writer.write_batch([item(index) for index in range(20)])
        whole = log.read_bytes()
        with largest_file(len(whole) + 100), pytest.raises(InputError, match="cannot be written"):
            writer.write_batch([item(20), item(21)])
        assert log.read_bytes() == whole
    assert finish(tmp_path) == list(range(22, 40))


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(mount)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk is not permitted here")
    try:
        path = mount / "data"

        def fill() -> None:
            with DatasetWriter(path, MANIFEST) as writer:
                for index in range(40):
                    writer.write_batch([item(index, size=96)])

        with pytest.raises(InputError, match="the disk is full; free some space"):
            fill()
        written = sorted(int(file.stem) for file in path.glob("images/*/*.png"))
        assert 0 < len(written) < 40
        shutil.copytree(path, tmp_path / "roomy")
        with DatasetWriter(tmp_path / "roomy", MANIFEST) as writer:
            assert writer.missing() == [index for index in range(40) if index not in written]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_deleted_during_the_run_is_told_and_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "data"

    def run() -> None:
        with DatasetWriter(path, MANIFEST) as writer:
            writer.write_batch([item(0)])
            shutil.rmtree(path)
            writer.write_batch([item(1)])

    with pytest.raises(InputError, match=r"the folder is gone \(deleted or unmounted during the run\?\)"):
        run()
    assert not path.exists()


def test_a_folder_deleted_before_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data"

    def run() -> None:
        with DatasetWriter(path, MANIFEST):
            shutil.rmtree(path)

    with pytest.raises(InputError, match="the folder is gone"):
        run()


READ_ONLY = """
import os, sys
from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.writer import DatasetWriter
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
manifest = Manifest(classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", batch_shape=2, count=40)
for path in sys.argv[1:]:
    try:
        DatasetWriter(path, manifest).__enter__()
    except InputError as error:
        print(error)
"""


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    # the other user must be able to reach the folder at all
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o055)
    command = [sys.executable, "-c", READ_ONLY, str(folder), str(folder / "new/data")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = "cannot be written: this user may not write there; change the permissions or take another folder"
    assert run.stdout.count(told) == 2, run.stderr
    assert list(folder.iterdir()) == []
