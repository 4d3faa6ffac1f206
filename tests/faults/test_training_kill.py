"""A concept training killed while it saves: the checkpoint before stays valid, and the end is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("kill_training.py")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_in_mid_save_the_training_resumes_to_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("robin", "wren"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "images" / name / "1.png")
    # one thread: the children are forked, and may not inherit a pool of threads that only the parent has
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(tmp_path), str(tiny_folder), str(tmp_path / "images")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    falls = json.loads(run.stdout.splitlines()[-1])["falls"]
    assert len(falls) >= 10
    assert all(fall["killed"] for fall in falls), falls
    # a checkpoint is whole or not there, and every step's is met
    assert {fall["step"] for fall in falls} == {0, 1, 2, 3}, falls
    in_mid_save = [fall for fall in falls if fall["before"].startswith("os.rename") and "checkpoint" in fall["before"]]
    assert [fall["step"] for fall in in_mid_save[:3]] == [0, 1, 2], in_mid_save
    for fall in falls:
        assert fall["differing"] == [], fall
        assert fall["log"] == [1, 2, 3], fall
