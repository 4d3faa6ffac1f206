"""The tables of a page about few shots, from finished comparisons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ncm_lib import SyntheticDataset, load_source
from ncm_lib.metrics.classifier import Classifier, load_classifier
from ncm_lib.training.compare import Comparison
from ncm_lib.training.compare_plan import ComparePlan
from ncm_lib.training.compare_report import Line, table
from ncm_lib.training.compare_tasks import Task, task_graph
from ncm_lib.training.compare_work import OUT, task_folder

SURE = 0.05
ONE_CLASS = ("sd-random", "diff-ii", "diff-aug")
"""Rows whose images have one class each."""


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
    if not len(values):
        return ["failed" if line.failed else "not run", "", ""]
    mean = f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")
    mean += f" ({len(values)} of {seeds} seeds)" if len(values) < seeds else ""
    found = line.difference
    if found is None or line.p_holm is None or len(values) < 2:
        return [mean, "", ""]
    text = f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return [
        mean,
        f"**{text}**" if line.p_holm < SURE else text,
        f"{line.p_holm:.3f}" if line.p_holm >= 0.001 else "< 0.001",
    ]


def recognised(parts: Mapping[str, tuple[ComparePlan, Path]], judge: tuple[ComparePlan, Path]) -> str:
    """How many of the synthetic images with one class are named right, by method and shots.

    Args:
        parts: plan and folder of each comparison, by what stands before its shots in the head of a column.
        judge: of the comparison whose last row, a classifier with other training images, judges the images of the same
            seed. It must know all classes of the parts.

    Returns:
        A table; the last line are real test images.
    """
    graph = task_graph(judge[0])
    judges = {
        cell.seed: load_classifier(folder_of(judge[1], graph.tasks[cell.key]))
        for cell in graph.cells
        if cell.row == judge[0].rows[-1].name
    }
    found: dict[str, dict[str, dict[int, float]]] = {}
    heads: list[str] = []
    for part, (plan, root) in parts.items():
        real = load_source(plan.data.test)
        graph = task_graph(plan)
        for cell in graph.cells:
            row = next(row for row in plan.rows if row.name == cell.row)
            column = f"{part}{cell.shots} shots"
            heads += [column] if column not in heads else []
            if row.method == row.name and row.name in ONE_CLASS:
                (need,) = graph.tasks[cell.key].needs
                data = SyntheticDataset(folder_of(root, graph.tasks[need]), transform=as_it_is)
                names = [data.classes[record.class_ids[0]] for record in data.records]
                images = (data[place][0] for place in range(len(data)))
            elif row.name == plan.baseline:
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


def folder_of(root: Path, task: Task) -> Path:
    """What a task has made."""
    return task_folder(root, task.name) / OUT


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


def marks(script: str) -> tuple[str, str]:
    """Between which a page holds what a script writes."""
    return f"<!-- {script}: begin -->", f"<!-- {script}: end -->"


def replace_between(file: Path, script: str, page: str) -> None:
    """Put the tables of a script between its marks of a file."""
    begin, end = marks(script)
    text = file.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise SystemExit(f"{file} lacks the marks {begin} and {end}")
    file.write_text(f"{before}{begin}\n\n{page}\n\n{end}{after}", encoding="utf-8")
