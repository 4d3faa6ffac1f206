"""A comparison with a bar, and the model that it must not be run with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ncm_lib.training.compare import Comparison, compare


def run(plan: Path, out: Path, jobs: int, only: Sequence[str]) -> Comparison:
    """Run what is missing of a plan and show it."""
    with tqdm(unit=" tasks", desc=plan.stem) as bar:
        return compare(plan, out=out, jobs=jobs, only=only, on_task=shown(bar))


def shown(bar: Any) -> Any:
    """Show tasks on a progress bar."""

    def show(name: str, state: str, over: int, count: int) -> None:
        bar.total = count
        bar.set_postfix_str(f"{name} {state}")
        bar.update(over - bar.n)

    return show


def refuse_known(model: Path, held_out: Sequence[str]) -> None:
    """End here where a model was trained on classes that it must not know."""
    if known := set(json.loads((model / "classes.json").read_bytes())["classes"]) & set(held_out):
        raise SystemExit(f"{model} was trained on {sorted(known)}, which it must not know")
