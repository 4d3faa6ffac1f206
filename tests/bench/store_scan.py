"""What opening a data set of a million images costs: `python tests/bench/store_scan.py [--count 1000000]`.

The files are real directory entries with the size that their record tells (without data in them), 1,000 to a folder as
the format has it, images and masks; they are made below --folder first (minutes), and removed at the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MEASURE = """
import json, pickle, resource, sys, time
from pathlib import Path
import numpy as np
from ncm_lib.store.ledger import Ledger
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.reader import SyntheticDataset
from ncm_lib.store.writer import DatasetWriter

def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

class Timed:
    def __init__(self, name):
        self.name = name
    def __enter__(self):
        self.rss = rss()
        Path("/proc/self/clear_refs").write_text("5")
        self.wall, self.cpu = time.perf_counter(), time.process_time()
    def __exit__(self, *error):
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        grown = peak() - self.rss
        print(json.dumps({"what": self.name, "wall_s": round(wall, 2), "cpu_s": round(cpu, 2),
                          "peak_bytes_per_sample": round(grown / count, 1)}), flush=True)

path, what = Path(sys.argv[1]), sys.argv[2]
manifest = Manifest.read(path)
count = manifest.count
if what == "scan":
    with Timed("the resume scan (Ledger.read)"):
        ledger = Ledger.read(path, manifest)
    assert ledger.done.all(), ledger.damage
elif what == "reader":
    with Timed("SyntheticDataset(path)"):
        data = SyntheticDataset(path)
    assert len(data) == count
    order = np.random.default_rng(0).permutation(count)[:20000]
    start = time.process_time()
    for index in order:
        assert data.records[int(index)].index == index
    cost = (time.process_time() - start) / len(order)
    print(json.dumps({"what": "a record at random", "cpu_us": round(cost * 1e6, 1),
                      "pickle_bytes_per_sample": round(len(pickle.dumps(data)) / count, 1)}), flush=True)
else:
    for number in (1, 2, 3):
        with Timed(f"DatasetWriter, opened with nothing to do, time {number}: entering"):
            writer = DatasetWriter(path, manifest).__enter__()
        assert not writer.missing()
        with Timed(f"DatasetWriter, opened with nothing to do, time {number}: leaving"):
            writer.__exit__(None, None, None)
"""


def build(path: Path, count: int) -> None:
    """A data set of ``count`` samples, by name and size."""
    from ncm_lib.store.layout import image_name, mask_name
    from ncm_lib.store.manifest import Manifest
    from ncm_lib.store.record import Record

    rng = np.random.default_rng(0)
    path.mkdir(parents=True)
    Manifest(
        classes=tuple(f"class {number}" for number in range(10)), method="noisecutmix", config={}, seed=0,
        plan_hash="a" * 64, render_hash="b" * 64, batch_shape=8, count=count,
    ).write(path)  # fmt: skip
    masked = "mask_sha256" in Record.__slots__
    with (path / "metadata-0.jsonl").open("w") as log:
        for index in range(count):
            for name in (image_name(index), mask_name(index)):
                if not index % 1000:
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                size = 2000 + int(rng.integers(1000)) if name.startswith("images") else 90
                descriptor = os.open(path / name, os.O_WRONLY | os.O_CREAT, 0o644)
                os.ftruncate(descriptor, size)
                os.close(descriptor)
                if name.startswith("images"):
                    written = size
            weight = float(rng.integers(4097)) / 4096
            record = Record(
                file_name=image_name(index), mask_file_name=mask_name(index), index=index,
                seed=int(rng.integers(2**53)), class_ids=tuple(map(int, rng.integers(10, size=2))),
                weights=(weight, 1 - weight), box=(0, 3, 20, 64), method="noisecutmix", plan_hash="a" * 64,
                bytes=written, renderer="ncm_lib", **({"mask_sha256": f"{index:064x}"} if masked else {}),
            )  # fmt: skip
            log.write(record.to_json() + "\n")


def main() -> None:
    """Build, measure in fresh processes, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to build; kept when it is given")
    arguments = parser.parse_args()
    base = arguments.folder or Path(tempfile.mkdtemp())
    path = base / "data"
    try:
        if not path.exists():
            started = time.perf_counter()
            build(path, arguments.count)
            print(f"built {arguments.count} samples in {time.perf_counter() - started:.0f} s", flush=True)
        for what in ("scan", "scan", "reader", "writer"):
            command = [sys.executable, "-c", MEASURE, str(path), what]
            subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    finally:
        if arguments.folder is None:
            shutil.rmtree(base)


if __name__ == "__main__":
    main()
