"""Two writers on one folder, with a real second process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ncm_lib.cli.main import main
from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.writer import DatasetWriter

ROOT = Path(__file__).parents[2]
MANIFEST = Manifest(classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", batch_shape=2, count=4)
HOLD = """
import sys
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.writer import DatasetWriter
with DatasetWriter(sys.argv[1], Manifest.model_validate_json(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Generator[subprocess.Popen[str]]:
    """A process that writes the data set ``tmp_path`` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), MANIFEST.model_dump_json()],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def enter(path: Path, **options: bool) -> list[str]:
    with DatasetWriter(path, MANIFEST, **options) as writer:
        return writer.notes


def test_the_second_process_fails_at_once_and_names_the_first_and_a_dead_one_is_recovered_from(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    for break_lock in (False, True):
        with pytest.raises(InputError) as refused:
            enter(tmp_path, break_lock=break_lock)
        assert f"process {holder.pid} on host {socket.gethostname()} since 2" in str(refused.value)
    holder.kill()
    holder.wait()
    assert (tmp_path / ".ncm-0.lock").exists()
    assert f"recovered the lock of process {holder.pid}" in enter(tmp_path)[0]
    assert not (tmp_path / ".ncm-0.lock").exists()


def test_the_command_line_fails_at_once_and_names_the_holder(
    holder: subprocess.Popen[str], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    command = ["generate", "noisecutmix", "--model", str(tiny_folder), "--classes", "a,b", "--count", "2"]
    assert main([*command, "--out", str(tmp_path), "--device", "cpu", "--break-lock"]) == 2
    assert main(["verify", str(tmp_path), "--repair"]) == 2
    assert main(["index", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count(f"is being written by process {holder.pid} on host {socket.gethostname()}") == 3
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_one_process_cannot_open_a_folder_twice(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, MANIFEST), pytest.raises(InputError, match=f"process {os.getpid()} on host"):
        enter(tmp_path)


def test_another_host_s_lock_is_kept_until_it_is_broken_on_purpose(tmp_path: Path) -> None:
    left = json.dumps({"pid": 77, "host": "elsewhere", "started": "2020-01-01T00:00:00Z"})
    (tmp_path / ".ncm-0.lock").write_text(left)
    with pytest.raises(InputError, match=r"process 77 on host elsewhere since 2020-01-01.*--break-lock"):
        enter(tmp_path)
    assert (tmp_path / ".ncm-0.lock").read_text() == left
    assert "recovered the lock of process 77 on host elsewhere" in enter(tmp_path, break_lock=True)[0]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0" * 50])
def test_a_torn_lock_file_is_stale(text: str, tmp_path: Path) -> None:
    (tmp_path / ".ncm-0.lock").write_text(text)
    enter(tmp_path)


def test_a_refused_run_leaves_the_lock_free(tmp_path: Path) -> None:
    enter(tmp_path)
    with pytest.raises(InputError, match="shrink"):
        DatasetWriter(tmp_path, MANIFEST.model_copy(update={"count": 1})).__enter__()
    enter(tmp_path)
