"""What safe writing costs: `python tests/bench/store_write.py [--folder FOLDER_ON_THE_DISK_TO_MEASURE]`.

Three ways to write the same images and masks, in turns, batch by batch; the table has medians over the batches:

- the data set: ``DatasetWriter.write_batch``: encode, temp files, fsync of all, renames, fsync of folders, a log line;
- one by one: encode, write, fsync and rename each file, as careful code does it;
- bare: encode and write each file, without any fsync.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ncm_lib.store.images import encode_image, encode_mask
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter, Item

BATCH, ROUNDS = 8, 40


def items(start: int, size: int, rng: np.random.Generator) -> list[Item]:
    """A batch of pictures that compress about as photographs do, each with the mask of a box."""
    batch: list[Item] = []
    for index in range(start, start + BATCH):
        coarse = Image.fromarray(rng.integers(0, 256, (max(size // 16, 2), max(size // 16, 2), 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).astype(np.int16)
        image = (smooth + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((size // 8, size // 8), np.float32)
        mask[: size // 16] = 1
        record = Record(
            file_name=f"images/000/{index:08d}.png", index=index, seed=index, class_ids=(0, 1), weights=(0.5, 0.5),
            box=(0, 0, size // 8, size // 16), method="noisecutmix", plan_hash="a" * 64, renderer="ncm_lib",
        )  # fmt: skip
        batch.append((record, image, mask))
    return batch


def one_by_one(folder: Path, batch: list[Item], *, careful: bool) -> None:
    """Each file on its own."""
    for record, image, mask in batch:
        assert mask is not None
        for kind, data in (("masks", encode_mask(mask)), ("images", encode_image(image, record))):
            path = folder / f"{kind}-{record.index:08d}.png"
            if not careful:
                path.write_bytes(data)
                continue
            temp = path.with_suffix(".tmp")
            with temp.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temp.replace(path)


def measure(base: Path, size: int) -> None:
    """Print one row of the table."""
    manifest = Manifest(
        classes=("a", "b"), method="noisecutmix", config={}, seed=0, plan_hash="a" * 64, batch_shape=BATCH,
        count=BATCH * (ROUNDS + 2),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    (base / "careful").mkdir()
    (base / "bare").mkdir()
    seconds: dict[str, list[float]] = {"data set": [], "one by one": [], "bare": []}
    with DatasetWriter(base / "set", manifest) as writer:
        ways: dict[str, Callable[[list[Item]], None]] = {
            "data set": writer.write_batch,
            "one by one": lambda batch: one_by_one(base / "careful", batch, careful=True),
            "bare": lambda batch: one_by_one(base / "bare", batch, careful=False),
        }
        for number in range(ROUNDS + 2):
            batch = items(number * BATCH, size, rng)
            # another one goes first each time: whoever comes behind an fsync finds the disk busy
            order = [*ways][number % 3 :] + [*ways][: number % 3]
            for name in order:
                started = time.perf_counter()
                ways[name](batch)
                if number >= 2:
                    seconds[name].append((time.perf_counter() - started) / BATCH)
    data_set, careful, bare = (1000 * statistics.median(seconds[name]) for name in ("data set", "one by one", "bare"))
    pairs = [a / b for a, b in zip(seconds["data set"], seconds["one by one"], strict=True)]
    print(
        f"{size} px, ms per image: data set {data_set:.2f}, one by one {careful:.2f}, bare {bare:.2f}; ratio to one by "
        f"one {data_set / careful:.2f} (median of pairs {statistics.median(pairs):.2f}), to bare {data_set / bare:.2f}",
        flush=True,
    )


def main() -> None:
    """Measure both sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure; default: the temp folder")
    arguments = parser.parse_args()
    for size in (512, 32):
        base = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            measure(base, size)
        finally:
            shutil.rmtree(base)


if __name__ == "__main__":
    main()
