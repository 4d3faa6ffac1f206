"""Kills a concept training again and again, resumes it each time, and compares it with an undisturbed one.

``python kill_training.py FOLDER MODEL IMAGES`` prints one JSON object. One process loads the libraries and forks a
child per attempt; the child counts its file operations in the folder, which Python announces to audit hooks just before
they happen, and sends itself SIGKILL at one of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ncm_lib import ConceptTraining, load_model, load_source, train_concepts

AUDITED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.scandir", "shutil.rmtree"}
CONFIG = ConceptTraining(
    steps=3, batch_size=1, rank=1, learning_rate=1e-2, embedding_learning_rate=1e-2, checkpoint_every=1
)


class Clock:
    """Counts, remembers where the checkpoint is renamed, and kills."""

    def __init__(self, folder: Path, fatal: int = 0) -> None:
        self.folder, self.fatal, self.ticks = str(folder), fatal, 0
        self.operations: list[str] = []

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED and f"{self.folder}/" in f"{arguments[0]}/":
            self.ticks += 1
            self.operations.append(f"{event} {arguments[0]}".replace(self.folder, ""))
            if self.ticks == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def attempt(model: Any, images: Any, out: Path, fatal: int | None) -> list[str] | None:
    """Train in a child; its file operations, or None where it was killed."""
    report = Path(f"{out}.operations")
    pid = os.fork()
    if not pid:
        clock = Clock(out, fatal or 0)
        sys.addaudithook(clock.audit)
        train_concepts(model, images, out=out, config=CONFIG)
        report.write_text(json.dumps(clock.operations))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return None if code else json.loads(report.read_text())


def step_of(folder: Path) -> int | str:
    """The step of the checkpoint; 0 where there is none, a text where it is damaged."""
    file = folder / "checkpoint.safetensors"
    if not file.is_file():
        return 0
    try:
        with safe_open(file, framework="pt") as handle:
            for name in handle.keys():  # noqa: SIM118, no mapping
                handle.get_tensor(name)
            return int(json.loads(handle.metadata()["state"])["step"])
    except (SafetensorError, OSError, ValueError) as error:
        return str(error)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the log, which holds seconds."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.name != "loss.jsonl"}


def run(base: Path, source: str, data: str) -> dict[str, Any]:
    """The whole experiment."""
    model, images = load_model(source, device="cpu"), load_source(data)
    operations = attempt(model, images, base / "whole", 0) or []
    renames = [k for k, what in enumerate(operations, 1) if what.startswith("os.rename") and "checkpoint" in what]
    opens = [k for k, what in enumerate(operations, 1) if what.startswith("open") and "checkpoint" in what]
    # before, in and after each writing of a checkpoint, and spread over everything else
    points = sorted({*renames, *(k + 1 for k in renames), *opens, *range(1, len(operations), len(operations) // 4)})
    wanted = contents(base / "whole")
    falls: list[dict[str, Any]] = []
    for point in points:
        out = base / f"killed-{point}"
        killed = attempt(model, images, out, point) is None
        step = step_of(out)
        attempt(model, images, out, 0)
        there = contents(out)
        steps = [json.loads(line)["step"] for line in (out / "loss.jsonl").read_text().splitlines()]
        falls.append(
            {
                "before": operations[point - 1],
                "killed": killed,
                "step": step,
                "differing": sorted(
                    name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)
                ),
                "log": steps,
            }
        )
    return {"operations": len(operations), "falls": falls}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), *sys.argv[2:])))
