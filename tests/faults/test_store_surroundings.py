"""Locale, encoding, hash seed, time zone, clock and umask leave no trace in the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# the clock first, before anything could have looked at it
CLOCK = """
import os, time
if "TEST_CLOCK" in os.environ:
    now = float(os.environ["TEST_CLOCK"])
    time.time, time.time_ns = (lambda: now), (lambda: int(now * 1e9))
    gmtime, localtime = time.gmtime, time.localtime
    time.gmtime, time.localtime = (lambda at=now: gmtime(at)), (lambda at=now: localtime(at))
"""
SCRIPT = (
    CLOCK
    + """
import hashlib, sys
from pathlib import Path
import numpy as np
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter
for image_format in ("png", "webp", "jpeg"):
    path = Path(sys.argv[1]) / image_format
    manifest = Manifest(
        classes=("größe 🎽", "İi"), method="m", config={"b": 1, "a": 0.1}, seed=0, plan_hash="p", batch_shape=2,
        count=2, image_format=image_format, versions={"z": "1", "a": "2"},
    )
    with DatasetWriter(path, manifest) as writer:
        for index in writer.missing():
            image = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            record = Record(
                file_name="-", index=index, seed=9, class_ids=(0, 1), weights=(0.75, 0.25), method="m", plan_hash="p",
                source="ü",
            )
            writer.write_batch([(record, image, np.eye(4))])
    for file in sorted(path.rglob("*")):
        if file.is_file():
            print(file.relative_to(path), hashlib.sha256(file.read_bytes()).hexdigest())
"""
)


SURROUNDINGS = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "1", "TZ": "UTC"},
    {
        "LC_ALL": "tr_TR.UTF-8", "PYTHONIOENCODING": "utf-8", "PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu",
        "USER": "somebody", "SOURCE_DATE_EPOCH": "0", "PYTHONOPTIMIZE": "1", "TEST_CLOCK": "4102444800.5",
    },
]  # fmt: skip


def in_both(script: Path, *arguments: str) -> list[list[bytes]]:
    """What a script prints in either surroundings; its last argument is a folder of its own."""
    printed = []
    for number, changes in enumerate(SURROUNDINGS):
        run = subprocess.run(
            [sys.executable, str(script), *arguments, str(script.parent / f"{number}")],
            env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"} | changes,
            capture_output=True,
            check=False,
            umask=(0o022, 0o077)[number],
        )
        assert run.returncode == 0, run.stderr.decode()
        printed.append(run.stdout.splitlines())
    return printed


def test_the_same_writing_in_other_surroundings_gives_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    first, second = in_both(script)
    assert len(first) >= 3 * 9
    assert first == second


GENERATE = (
    CLOCK
    + """
import contextlib, hashlib, io, sys
from pathlib import Path
from ncm_lib.cli.main import main
model, classes, out = sys.argv[1:]
options = "--count 5 --batch-size 2 --num-inference-steps 2 --device cpu"
with contextlib.redirect_stdout(io.StringIO()):
    code = main(["generate", "noisecutmix", "--model", model, "--classes", classes, "--out", out, *options.split()])
for file in sorted(Path(out).rglob("*")):
    if file.is_file() and file.name != "stats.jsonl":
        print(file.relative_to(out), hashlib.sha256(file.read_bytes()).hexdigest())
sys.exit(code)
"""
)


@pytest.mark.slow
def test_the_same_generation_in_other_surroundings_gives_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    script, classes = tmp_path / "script.py", tmp_path / "classes.json"
    script.write_text(GENERATE, encoding="utf-8")
    classes.write_text('{"classes": ["größe 🎽", "İi", "coat"], "meta_class": "çanta"}', encoding="utf-8")
    first, second = in_both(script, str(tiny_folder), str(classes))
    assert len([line for line in first if line.startswith(b"images/")]) == 5
    assert first == second
