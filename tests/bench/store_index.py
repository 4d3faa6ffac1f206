"""What it costs to make the index of a data set from its images: `python tests/bench/store_index.py [--count 100000]`.

The images (32 px by default) and masks are real files; logs and derived files are removed before. Measured in a fresh
process: ``ncm index``, a second ``ncm index`` that finds all in order, and ``ncm verify``, which decodes everything.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ncm_lib.store.images import encode_image, encode_mask, mask_sha256
from ncm_lib.store.layout import image_name, mask_name
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record

MEASURE = """
import sys, time
from pathlib import Path
import pyarrow.parquet, pandas  # what a table needs is not the samples' memory
import ncm_lib as ncm

def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

path, count = sys.argv[1], int(sys.argv[2])
for what, call in (("index", ncm.index), ("index again", ncm.index), ("verify", ncm.verify)):
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of one core ({1e6 * cpu / count:.0f} us per sample), "
          f"{(status('VmHWM') - before) / count:.0f} bytes of memory per sample; {str(result).splitlines()[-1]}",
          flush=True)
"""


def build(path: Path, count: int, size: int) -> None:
    """Images with their records, and masks; no log."""
    Manifest(
        classes=tuple(f"class {number}" for number in range(10)), method="noisecutmix", config={}, seed=0,
        plan_hash="a" * 64, render_hash="b" * 64, batch_shape=8, count=count,
    ).write(path)  # fmt: skip
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (16, size, size, 3), dtype=np.uint8)
    mask = np.zeros((8, 8), np.float32)
    mask[:3, :5] = 1
    mask_data, digest, weight = encode_mask(mask), mask_sha256(mask), float(mask.mean())
    for index in range(count):
        record = Record(
            file_name=image_name(index), mask_file_name=mask_name(index), mask_sha256=digest, index=index,
            seed=int(rng.integers(2**53)), class_ids=(index % 10, (index + 1) % 10), weights=(weight, 1 - weight),
            box=(0, 0, 5, 3), method="noisecutmix", plan_hash="a" * 64, renderer="ncm_lib",
        )  # fmt: skip
        for name in (record.file_name, mask_name(index)):
            if not index % 1000:
                (path / name).parent.mkdir(parents=True)
        (path / record.file_name).write_bytes(encode_image(pictures[index % 16], dataclasses.replace(record)))
        (path / mask_name(index)).write_bytes(mask_data)


def main() -> None:
    """Build, measure in a fresh process, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=32)
    arguments = parser.parse_args()
    path = Path(tempfile.mkdtemp())
    try:
        build(path, arguments.count, arguments.size)
        command = [sys.executable, "-c", MEASURE, str(path), str(arguments.count)]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    finally:
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
