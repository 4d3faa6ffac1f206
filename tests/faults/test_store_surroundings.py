"""Locale, hash seed, time zone, clock and umask leave no trace in the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
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


def test_the_same_run_in_other_surroundings_gives_the_same_bytes(tmp_path: Path) -> None:
    surroundings = [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "1", "TZ": "UTC"},
        {
            "LC_ALL": "tr_TR.UTF-8", "PYTHONIOENCODING": "utf-8", "PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu",
            "USER": "somebody", "SOURCE_DATE_EPOCH": "0", "PYTHONOPTIMIZE": "1",
        },
    ]  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    printed = []
    for number, changes in enumerate(surroundings):
        run = subprocess.run(
            [sys.executable, str(script), str(tmp_path / f"{number}")],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | changes,
            capture_output=True,
            check=False,
            umask=(0o022, 0o077)[number],
        )
        assert run.returncode == 0, run.stderr.decode()
        printed.append(run.stdout.splitlines())
    assert len(printed[0]) == 3 * 9
    assert printed[0] == printed[1]
