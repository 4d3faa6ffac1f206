"""One run of ``ncm generate``, killed twenty times and resumed each time, ends in the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..garments import GARMENTS

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("kill_run.py")
COUNT, KILLS, SEED = 40, 20, 20250711

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")


def killed(folder: Path, model: str) -> dict[str, Any]:
    # one thread: the children are forked, and may not inherit a pool of threads that only the parent has
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(folder), model, str(COUNT), str(KILLS), str(SEED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def assert_the_same(result: dict[str, Any]) -> None:
    falls = result["falls"]
    assert len(falls) == KILLS
    assert all(fall["killed"] for fall in falls), falls
    assert result["differing"] == [], falls
    # images, masks, dataset.json, metadata.jsonl, soft_labels.npy, the preview
    assert result["files"] >= 2 * COUNT + 4
    assert result["logged"] == list(range(COUNT)), falls
    assert result["sound"], result["verify"]


@pytest.mark.slow
def test_a_run_that_is_killed_at_twenty_points_ends_in_the_bytes_of_an_undisturbed_one(
    tiny_folder: Path, tmp_path: Path
) -> None:
    result = killed(tmp_path, str(tiny_folder))
    assert_the_same(result)
    falls = result["falls"]
    assert {fall["phase"] for fall in falls} == {"opening", "making", "merging", "leaving"}
    # before the first image, with some of them there, and with all of them there
    there = [fall["images"] for fall in falls]
    assert len({images for images in there if 0 < images < COUNT}) >= 5
    assert COUNT in there
    assert len({fall["before"].partition(" ")[0] for fall in falls}) >= 4


@pytest.mark.slow
def test_the_same_with_a_trained_model(tmp_path: Path) -> None:
    assert_the_same(killed(tmp_path, str(GARMENTS)))
