"""A killed writer: whatever it was doing, the next run ends in the data set of an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The child kills itself at its k-th file operation, which Python announces to audit hooks just before it happens; so
# kills fall between any two steps: temp files, renames, the log, the merge. One process forks them all (starting
# Python anew each time would take minutes).
SCRIPT = """
import hashlib, json, os, shutil, signal, sys
from pathlib import Path
import numpy as np
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter

base = Path(sys.argv[1])
manifest = Manifest(classes=("a", "b"), method="m", config={}, seed=0, plan_hash="p", batch_shape=2, count=5)

def item(index):
    image = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = np.ones((4, 4), np.float32)
    mask[: index % 4] = 0
    weight = float(mask.mean())
    weights = (weight, 1 - weight)
    record = Record(file_name="-", index=index, seed=9, class_ids=(0, 1), weights=weights, method="m", plan_hash="p")
    return record, image, mask

def run(path):
    with DatasetWriter(path, manifest) as writer:
        missing = writer.missing()
        for start in range(0, len(missing), 2):
            writer.write_batch([item(index) for index in missing[start : start + 2]])
        return writer.notes

def contents(path):
    names = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "metadata-0.jsonl"]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in names}

class Clock:
    ticks, fatal, renames = 0, 0, []

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.scandir"}

def hook(event, arguments):
    if event in EVENTS and str(base) in str(arguments[0]):
        Clock.ticks += 1
        if event == "os.rename":
            Clock.renames.append(Clock.ticks)
        if Clock.ticks == Clock.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
run(base / "whole")
total, wanted = Clock.ticks, contents(base / "whole")
results = []
# at every rename, and spread over the whole run
for kill in sorted({*Clock.renames, *range(1, total + 1, total // 12), total}):
    path = base / f"killed-{kill}"
    pid = os.fork()
    if not pid:
        Clock.ticks, Clock.fatal = 0, kill
        run(path)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    partial = sorted(int(file.stem) for file in path.glob("images/*/*.png"))
    run(path)
    lines = [json.loads(line)["index"] for line in (path / "metadata-0.jsonl").read_text().splitlines()]
    report = verify(path)
    results.append({"kill": kill, "killed": killed, "partial": partial, "same": contents(path) == wanted,
                    "lines": sorted(lines), "verify": str(report), "sound": report.ok})
    shutil.rmtree(path)
print(json.dumps({"total": total, "results": results}))
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_between_any_two_file_operations_a_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    results = answer["results"]
    assert answer["total"] > 60
    assert len(results) >= 20
    assert all(result["killed"] for result in results)
    # the kills fall before, between and after the images
    assert {len(result["partial"]) for result in results} >= {0, 1, 2, 3, 4, 5}
    for result in results:
        assert result["same"], result
        assert result["sound"], result["verify"]
        assert result["lines"] == [0, 1, 2, 3, 4], result
