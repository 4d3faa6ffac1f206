"""Memory of a run against the size of its data set: `python tests/bench/generate_memory.py [--counts 1000 100000]`.

Two runs do the same work, the last 100 samples (embedded model, one step), in data sets of different size. What was
there before are real directory entries with the size that their record tells. The peak is that of the whole process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fashion import GARMENTS

from ncm_lib.store.layout import image_name
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record

LAST = 100
RUN = """
import sys
from ncm_lib import NoiseCutMix, RenderSettings, generate, load_model

path, count, stop, model = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stop", sys.argv[4]

def on_progress(progress):
    if stop:
        raise KeyboardInterrupt

model = load_model(model, device="cpu")
try:
    made = generate(NoiseCutMix(classes=model.classes), model, out=path, count=count, batch_size=4, save_masks=False,
                    settings=RenderSettings(num_inference_steps=1), on_progress=on_progress).made
except KeyboardInterrupt:
    made = -1
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(made, peak)
"""


def run(path: Path, count: int, what: str) -> tuple[int, float]:
    """Images made, and MiB at the peak, of a run in a fresh process."""
    command = [sys.executable, "-c", RUN, str(path), str(count), what, str(GARMENTS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    made, peak = done.stdout.split()
    return int(made), float(peak)


def fill(path: Path, count: int) -> None:
    """All but the last samples, by name, size and record."""
    manifest = Manifest.read(path)
    shutil.rmtree(path / "images", ignore_errors=True)
    with (path / "metadata-0.jsonl").open("w") as log:
        for index in range(count - LAST):
            image = path / image_name(index)
            if not index % 1000:
                image.parent.mkdir(parents=True)
            descriptor = os.open(image, os.O_WRONLY | os.O_CREAT, 0o644)
            os.ftruncate(descriptor, 2000)
            os.close(descriptor)
            record = Record(
                file_name=image_name(index), index=index, seed=index, class_ids=(0, 1), weights=(0.5, 0.5),
                method="noisecutmix", plan_hash=manifest.plan_hash, bytes=2000, renderer="ncm_lib",
            )  # fmt: skip
            log.write(record.to_json() + "\n")


def main() -> None:
    """Measure each size, print a line each, and the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 100_000])
    arguments = parser.parse_args()
    peaks: dict[int, float] = {}
    for count in arguments.counts:
        base = Path(tempfile.mkdtemp())
        try:
            run(base / "set", count, "stop")
            fill(base / "set", count)
            made, peaks[count] = run(base / "set", count, "go")
            print(f"{made} of {count} samples made: {peaks[count]:.1f} MiB at the peak", flush=True)
        finally:
            shutil.rmtree(base)
    (few, least), (many, most) = min(peaks.items()), max(peaks.items())
    print(f"{most - least:+.1f} MiB, {(most - least) * 2**20 / (many - few):.0f} bytes per sample more")


if __name__ == "__main__":
    main()
