"""What a second process brings on this machine: `python tests/bench/shards.py [--count 96] [--rounds 3]`.

The same data set of the garments model is made by one process with every core, by one process with one thread, and by
two processes with half of the cores each (``--shard I/2``), in turns. Seconds are those of ``stats.jsonl``, so loading
Python and the model does not count; for two processes, from the first start to the last end. The last line says what
limits two processes: one of them alone with the same number of threads has no neighbour to share memory with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fashion import GARMENTS


def command(out: Path, count: int, shard: str) -> list[str]:
    """One process's share of the data set."""
    main = "from ncm_lib.cli.main import main; main()"
    options = ["--out", str(out), "--count", str(count), "--shard", shard, "--batch-size", "8"]
    return [sys.executable, "-c", main, "generate", "noisecutmix", "--model", str(GARMENTS), *options]


def seconds(out: Path, count: int, shards: list[str], threads: int) -> float:
    """The slowest process's seconds in the loop, from opening to closing."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for name in ("RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    runs = [
        subprocess.Popen(
            command(out, count, shard), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for shard in shards
    ]
    if any(run.wait() for run in runs):
        raise SystemExit(f"a process of {shards} failed")
    lines = [json.loads(line) for file in out.glob("stats*.jsonl") for line in file.read_text().splitlines()]
    longest = max(line["seconds"] for line in lines)
    shutil.rmtree(out)
    return longest


def main() -> None:
    """Print images/s of each way and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    ways = {
        f"one process, {cores} threads": (["0/1"], cores, 1.0),
        "one process, 1 thread": (["0/1"], 1, 1.0),
        f"two processes, {cores // 2} thread(s) each": (["0/2", "1/2"], max(cores // 2, 1), 1.0),
        f"one of the two alone, {cores // 2} thread(s)": (["0/2"], max(cores // 2, 1), 0.5),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, (shards, threads, share) in ways.items():
                taken = seconds(Path(folder) / "set", options.count, shards, threads)
                rates[name].append(share * options.count / taken)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name}: {rate:.2f} images/s (of {', '.join(f'{value:.2f}' for value in rates[name])})")
    all_threads, one_thread, two, alone = medians.values()
    print(f"two processes against one with all threads: {two / all_threads:.2f} x")
    print(f"two processes against one with one thread: {two / one_thread:.2f} x")
    print(f"each of the two beside its neighbour against alone: {two / (2 * alone):.2f} x")


if __name__ == "__main__":
    main()
