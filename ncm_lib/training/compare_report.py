"""The report of a comparison: what a reader needs to believe it or not."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..store.disk import replace_bytes
from ..wording import counted
from .compare_plan import ComparePlan
from .curves import Curve, draw_curves
from .statistics import PairedDifference, holm, paired_difference


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table."""

    row: str
    values: tuple[float, ...]
    failed: int
    missing: int
    difference: PairedDifference | None
    """From the baseline; None for the baseline itself, and where no seed has both."""
    p_holm: float | None


def table(plan: ComparePlan, results: list[dict[str, Any]], shots: str) -> list[Line]:
    """The rows at some number of shots."""
    cells = {(line["row"], line["seed"]): line for line in results if line["shots"] == shots}
    numbers = {place: line["accuracy"] for place, line in cells.items() if line["state"] == "done"}
    differences: dict[str, PairedDifference] = {}
    for row in plan.rows:
        both = [seed for seed in plan.seeds if {(row.name, seed), (plan.baseline, seed)} <= numbers.keys()]
        if row.name != plan.baseline and both:
            differences[row.name] = paired_difference(
                [numbers[row.name, seed] for seed in both], [numbers[plan.baseline, seed] for seed in both]
            )
    adjusted = holm({name: found.p for name, found in differences.items()})
    lines: list[Line] = []
    for row in plan.rows:
        states = [cells[row.name, seed]["state"] for seed in plan.seeds]
        lines.append(
            Line(
                row=row.name,
                values=tuple(numbers[row.name, seed] for seed in plan.seeds if (row.name, seed) in numbers),
                failed=states.count("failed"),
                missing=states.count("not run"),
                difference=differences.get(row.name),
                p_holm=adjusted.get(row.name),
            )
        )
    return lines


def write_report(root: Path, plan: ComparePlan, results: list[dict[str, Any]]) -> None:
    """Write ``report.md`` with its pictures in ``report/``, and ``report.html``, which holds everything itself.

    Args:
        root: folder of the comparison.
        plan: what was asked for.
        results: a line per cell.
    """
    folder = root / "report"
    folder.mkdir(exist_ok=True)
    text, page = [_INTRO.format(seeds=len(plan.seeds), baseline=plan.baseline)], [f"<p>{html.escape(_plain(plan))}</p>"]
    if over := _over_shots(plan, results):
        name = "accuracy-over-shots.svg"
        drawing = draw_curves(
            over,
            "real images per class",
            "test accuracy, mean over seeds; whiskers: standard deviation",
            ticks=list(map(str, plan.shots)),
            close=True,
        )
        replace_bytes(folder / name, drawing.encode("utf-8"))
        text.append(f"![Test accuracy over real images per class](report/{name})")
        page.append(drawing)
    for shots in map(str, plan.shots):
        title = "All real images" if shots == "all" else f"{counted(int(shots), 'real image')} per class"
        rows = [_cells(line) for line in table(plan, results, shots)]
        text.append(f"## {title}\n\n{_markdown(_HEADS, rows)}")
        page.append(f"<h2>{title}</h2>{_html(_HEADS, rows)}")
        curves = _curves(root, plan, results, shots)
        if curves:
            name = f"curves-{shots}.svg"
            drawing = draw_curves(curves, "epoch", "validation accuracy, mean over seeds")
            replace_bytes(folder / name, drawing.encode("utf-8"))
            text.append(f"![Validation accuracy over epochs](report/{name})")
            page.append(drawing)
        for row, picture in _grids(root, plan, results, shots):
            name = f"images-{shots}-{_file_name(row)}.png"
            replace_bytes(folder / name, picture)
            text.append(f"**{row}**, seed {plan.seeds[0]}:\n\n![Synthetic images of {row}](report/{name})")
            data = base64.b64encode(picture).decode("ascii")
            alt = html.escape(f"Synthetic images of {row}", quote=True)
            page.append(f'<h3>{html.escape(row)}</h3><img alt="{alt}" src="data:image/png;base64,{data}">')
    heads, rows = _EVERY, [_every(line) for line in results]
    text.append(f"## Every number\n\n{_markdown(heads, rows)}")
    page.append(f"<h2>Every number</h2>{_html(heads, rows)}")
    replace_bytes(root / "report.md", ("# Comparison\n\n" + "\n\n".join(text) + "\n").encode("utf-8"))
    replace_bytes(root / "report.html", _PAGE.format(body="\n".join(page)).encode("utf-8"))


_HEADS = ("row", "test accuracy, %", "seeds", "difference, points", "95 % interval", "p", "p (Holm)")
_EVERY = ("row", "shots", "seed", "accuracy, %", "real / synthetic", "made by", "command")
_INTRO = (
    "Accuracy on the test images: mean ± standard deviation over the seeds ({seeds} were asked for); a seed changes "
    "the subset, the generator and the classifier. Differences are from *{baseline}*, paired by seed, with t "
    "intervals; p values are two-sided, and once more adjusted by Holm over the rows of a table. The epoch was chosen "
    "by validation images; the test was looked at once per cell."
)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Comparison</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #24292f; max-width: 1100px; margin: 2em auto; padding: 0 1em; }}
table {{ border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }}
th, td {{ border-bottom: 1px solid #d0d7de; padding: .3em .8em; text-align: left; white-space: nowrap; }}
img, svg {{ max-width: 100%; height: auto; }}
.failed {{ color: #b42318; }}
</style>
<h1>Comparison</h1>
{body}
</html>
"""


def _plain(plan: ComparePlan) -> str:
    return _INTRO.format(seeds=len(plan.seeds), baseline=plan.baseline).replace("*", "")


def _cells(line: Line) -> tuple[str, ...]:
    values = np.array(line.values) * 100
    if not len(values):
        mean = "failed" if line.failed else "not run"
    elif len(values) == 1:
        mean = f"{values[0]:.2f}"
    else:
        mean = f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"
    seeds = f"{len(values)}" + (f", {line.failed} failed" if line.failed else "")
    seeds += f", {line.missing} not run" if line.missing else ""
    found = line.difference
    if found is None:
        return line.row, mean, seeds, "", "", "", ""
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}" if math.isfinite(found.low) else "needs 2 seeds"
    p_holm = "" if line.p_holm is None else f"{line.p_holm:.3f}"
    return line.row, mean, seeds, f"{100 * found.mean:+.2f}", interval, f"{found.p:.3f}", p_holm


def _every(line: dict[str, Any]) -> tuple[str, ...]:
    number = line["state"] if line["state"] != "done" else f"{100 * line['accuracy']:.2f}"
    if line["error"]:
        number = f"failed: {line['error']}"
    images = "" if line["state"] != "done" else f"{line['train_images']} / {line['synthetic_images']}"
    made = (
        ""
        if line["version"] is None
        else ", ".join(
            [line["version"], f"commit {(line['commit'] or 'unknown')[:12]}", f"source {line['source'][:12]}"]
        )
    )
    return line["row"], line["shots"], str(line["seed"]), number, images, made, line["command"]


def _markdown(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in line) + " |" for line in lines
    )


def _html(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="failed">{html.escape(cell)}</td>'
            if cell.startswith("failed")
            else f"<td>{html.escape(cell)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _curves(root: Path, plan: ComparePlan, results: list[dict[str, Any]], shots: str) -> list[Curve]:
    """Mean validation accuracy by epoch, of the rows that have any."""
    curves: list[Curve] = []
    for row in plan.rows:
        runs: list[list[float]] = []
        for line in results:
            file = root / line["folder"] / "out" / "metrics.jsonl"
            if (line["row"], line["shots"], line["state"]) == (row.name, shots, "done") and file.is_file():
                lines = file.read_text(encoding="ascii").splitlines()
                runs.append([json.loads(one)["validation_accuracy"] for one in lines])
        if runs:
            length = min(map(len, runs))
            curves.append(Curve(name=row.name, values=tuple(np.mean([run[:length] for run in runs], axis=0).tolist())))
    return curves


def _over_shots(plan: ComparePlan, results: list[dict[str, Any]]) -> list[Curve]:
    """Mean test accuracy by number of shots, of the rows that have any; none where the plan has one number alone."""
    if len(plan.shots) < 2:
        return []
    by_row: dict[str, list[tuple[float, ...]]] = {row.name: [] for row in plan.rows}
    for shots in map(str, plan.shots):
        for line in table(plan, results, shots):
            by_row[line.row].append(line.values)
    return [
        Curve(
            name=name,
            values=tuple(float(np.mean(one)) if one else math.nan for one in values),
            spread=tuple(float(np.std(one, ddof=1)) if len(one) > 1 else math.nan for one in values),
        )
        for name, values in by_row.items()
        if any(values)
    ]


def _grids(root: Path, plan: ComparePlan, results: list[dict[str, Any]], shots: str) -> list[tuple[str, bytes]]:
    """The first seed's synthetic images of every row that has some."""
    grids: list[tuple[str, bytes]] = []
    for line in results:
        if line["shots"] == shots and line["seed"] == plan.seeds[0]:
            for folder in line["synthetic"]:
                file = root / folder / "out" / "preview.png"
                if file.is_file():
                    with Image.open(file) as picture:
                        small = picture.convert("RGB")
                    small.thumbnail((1000, 1000))
                    buffer = io.BytesIO()
                    small.save(buffer, "PNG", optimize=True)
                    grids.append((line["row"], buffer.getvalue()))
    return grids


def _file_name(row: str) -> str:
    """Letters and digits of a row's name, and its bytes where that could be another row's too."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in row)
    return plain if plain == row.replace(" ", "-") else f"{plain}-{row.encode().hex()[:16]}"
