"""Methods x shots x seeds, each number made once and accounted for."""

from __future__ import annotations

import fnmatch
import io
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..store.disk import plain_errors, replace_bytes
from ..store.lock import FolderLock
from .compare_plan import load_plan
from .compare_report import write_report
from .compare_schedule import TaskRunner
from .compare_tasks import Cell, Graph, task_graph
from .compare_work import DONE, task_folder

RESULTS = "results.jsonl"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison came to."""

    path: Path
    """Its folder, with ``report.html``, ``report.md`` and ``results.parquet`` (or ``.jsonl``)."""
    results: tuple[dict[str, Any], ...]
    """A line per cell."""
    failed: int
    """Cells without a number, those that were not asked for left out."""
    left: int
    """Cells that were not asked for and are not there."""


def compare(
    plan: str | Path,
    *,
    out: str | Path,
    jobs: int = 1,
    only: Sequence[str] = (),
    on_task: Callable[[str, str, int, int], None] | None = None,
) -> Comparison:
    """Run a plan, or what is missing of it, and write its report.

    Every cell takes its k-shot subset, trains concepts and inverts where its row asks for it, generates, trains a
    classifier, and looks at the test once. Work that several cells share is done once; what is done is kept by the
    content of all that it depends on.

    Args:
        plan: a TOML file (``ncm compare --help``).
        out: folder of the comparison; created, or continued. Another plan may follow in the same folder: what they
            share is not done again.
        jobs: tasks at a time. With more than one, each runs in a process of its own; the numbers do not depend on it.
        only: patterns of the cells to run, such as "noisecutmix/10/0" or "*/10/*"; the report shows all that are there.
        on_task: called with a task's name, what became of it (done, cached, failed), and how many of how many are over.

    Returns:
        Results, also of earlier runs; failed cells are among them with their errors.

    Raises:
        InputError: an illegal plan, data that are not there, or another process in the folder.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; take 1 or more.")
    loaded = load_plan(plan)
    graph = task_graph(loaded)
    cells = _chosen(graph, only)
    root = Path(out)
    with plain_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(root)
    lock.acquire()
    try:
        keys = graph.needed(cells)
        over = 0

        def tell(name: str, state: str) -> None:
            nonlocal over
            over += 1
            if on_task is not None:
                on_task(name, state, over, len(keys))

        runner = TaskRunner(
            graph=graph, root=root, threads=loaded.threads, device=loaded.device, jobs=jobs, on_task=tell
        )
        try:
            runner.run(keys)
        finally:
            with plain_errors(root):
                results = _results(graph, root, Path(plan), Path(out), runner.failures)
                _write(root, results)
                write_report(root, loaded, results)
    finally:
        lock.release()
    states = [line["state"] for line in results]
    return Comparison(path=root, results=tuple(results), failed=states.count("failed"), left=states.count("not run"))


def _chosen(graph: Graph, only: Sequence[str]) -> list[Cell]:
    if not only:
        return graph.cells
    for pattern in only:
        if not any(fnmatch.fnmatchcase(cell.name, pattern) for cell in graph.cells):
            raise InputError(
                f"No cell is called {pattern!r}. Cells are ROW/SHOTS/SEED, such as {graph.cells[0].name!r}; * stands "
                "for any."
            )
    return [cell for cell in graph.cells if any(fnmatch.fnmatchcase(cell.name, pattern) for pattern in only)]


def _results(graph: Graph, root: Path, file: Path, out: Path, failures: dict[str, str]) -> list[dict[str, Any]]:
    """A line per cell, from what is on the disk."""
    lines: list[dict[str, Any]] = []
    for cell in graph.cells:
        task = graph.tasks[cell.key]
        folder = task_folder(root, task.name)
        line: dict[str, Any] = {
            "row": cell.row,
            "shots": str(cell.shots),
            "seed": cell.seed,
            "state": "failed" if cell.key in failures else "not run",
            "error": failures.get(cell.key),
            "command": shlex.join(["ncm", "compare", str(file), "--out", str(out), "--only", cell.name]),
            "folder": folder.relative_to(root).as_posix(),
            "synthetic": [
                f"tasks/{graph.tasks[need].name}" for need in task.needs if graph.tasks[need].kind == "generate"
            ],
            **dict.fromkeys(_NUMBERS),
            "commit": None,
            "source": None,
            "version": None,
        }
        if (folder / DONE).is_file():
            done = json.loads((folder / DONE).read_bytes())
            found = done["found"]
            line |= {"state": "done", "error": None, "commit": done["commit"], "source": done["source"]}
            line["version"] = done["version"]
            line |= {name: found["test"].get(name) for name in ("accuracy", "balanced_accuracy", "loss", "ece")}
            line |= {"test_images": found["test"]["count"], "validation_accuracy": found["validation"]["accuracy"]}
            line |= {f"{name}_images": found["images"][name] for name in ("train", "validation", "synthetic")}
            line["seconds"] = done["seconds"]
        lines.append(line)
    return lines


_NUMBERS = (
    "accuracy", "balanced_accuracy", "loss", "ece", "test_images", "validation_accuracy", "train_images",
    "validation_images", "synthetic_images", "seconds",
)  # fmt: skip


def _write(root: Path, results: list[dict[str, Any]]) -> None:
    """``results.jsonl``, and ``results.parquet`` where pyarrow is there."""
    replace_bytes(root / RESULTS, "".join(f"{json.dumps(line)}\n" for line in results).encode("ascii"))
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        return
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(results), buffer)
    replace_bytes(root / "results.parquet", buffer.getvalue())
