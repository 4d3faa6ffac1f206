"""Kills one run of ``ncm generate`` again and again, resumes it each time, and compares it with an undisturbed run.

``python kill_run.py FOLDER MODEL COUNT KILLS SEED`` prints one JSON object. One process loads the libraries and forks a
child per attempt (starting Python anew each time would take minutes); the child counts what it does (calls of the
UNet, files opened, written, synced, renamed, removed), and at a number drawn from the seed it sends itself SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ncm_lib.cli.main import main
from ncm_lib.engine.load import load_model
from ncm_lib.store.verify import verify

AUDITED = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.scandir"}
PHASES = ("opening", "making", "merging", "leaving")
"""Up to the first call of the UNet; up to the merged index's first byte; up to its rename; up to the end."""


class Clock:
    """Counts what a child does in each phase, and ends it."""

    def __init__(self, folder: Path, phase: str = "", fatal: int = 0) -> None:
        self.folder, self.fatal, self.at = str(folder), fatal, phase
        self.ticks = dict.fromkeys(PHASES, 0)
        self.phase = PHASES[0]

    def start(self) -> None:
        """From now on everything counts."""
        sys.addaudithook(self.audit)
        torch.nn.modules.module.register_module_forward_pre_hook(self.model_call)
        for name in ("fsync", "write"):
            setattr(os, name, self.counted(getattr(os, name), name))

    def tick(self, what: str) -> None:
        if what == "UNet" and self.phase == "opening":
            self.phase = "making"
        elif what.startswith("open ") and what.endswith("/.metadata.jsonl.0.tmp"):
            self.phase = "merging"
        self.ticks[self.phase] += 1
        if self.phase == self.at and self.ticks[self.phase] == self.fatal:
            Path(f"{self.folder}.last").write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)
        if what.startswith("os.rename ") and what.endswith("/.metadata.jsonl.0.tmp"):
            self.phase = "leaving"

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED and f"{self.folder}/" in f"{arguments[0]}/":
            self.tick(f"{event} {arguments[0]}")

    def model_call(self, module: torch.nn.Module, _: Any) -> None:
        if type(module).__name__ == "UNet2DConditionModel":
            self.tick("UNet")

    def counted(self, function: Any, name: str) -> Any:
        def call(descriptor: int, *rest: Any) -> Any:
            self.tick(f"{name} {descriptor}")
            return function(descriptor, *rest)

        return call


def attempt(command: list[str], clock: Clock | None, out: Path) -> tuple[bool, dict[str, int]]:
    """Run the command in a child; whether it was killed, and how much it did in each phase."""
    report = Path(f"{out}.ticks")
    pid = os.fork()
    if not pid:
        if clock is not None:
            clock.start()
        code = main([*command, "--out", str(out)])
        report.write_text(json.dumps(clock.ticks if clock else {}))
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return (True, {}) if code else (False, json.loads(report.read_text()))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the log, whose lines come in the order of writing, and the costs of the runs."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = {file.relative_to(folder).as_posix(): file for file in files}
    return {name: names[name].read_bytes() for name in sorted(names) if name not in ("metadata-0.jsonl", "stats.jsonl")}


def run(base: Path, model: str, count: int, kills: int, seed: int) -> dict[str, Any]:
    """The whole experiment."""
    command = [
        "generate", "noisecutmix", "--model", model, "--classes", "sneaker,bag,coat", "--count", str(count),
        "--batch-size", "2", "--num-inference-steps", "4", "--device", "cpu", "--placement", "inside",
    ]  # fmt: skip
    load_model(model, device="cpu")  # brings all that is imported on demand into this process, for the children
    _, ticks = attempt(command, Clock(base / "whole"), base / "whole")
    rng = np.random.default_rng(seed)
    early, late = kills // 6, kills // 4
    making = kills - early - late - 1
    # cuts of one run: what is lost each time leaves work to be done, so that every kill falls
    cuts = np.sort(rng.choice(np.arange(1, ticks["making"]), size=making, replace=False))
    points = [("making", int(length)) for length in np.diff(cuts, prepend=0)]
    for _ in range(early):
        point = ("opening", int(rng.integers(1, ticks["opening"])))
        points.insert(int(rng.integers(making)), point)
    points += [("merging", int(rng.integers(1, ticks["merging"] + 1))) for _ in range(late)]
    points.append(("leaving", int(rng.integers(1, ticks["leaving"] + 1))))
    out = base / "killed"
    falls: list[dict[str, Any]] = []
    for phase, fatal in points:
        killed, _ = attempt(command, Clock(out, phase, fatal), out)
        images = len(list(out.glob("images/*/*.png")))
        last = Path(f"{out}.last").read_text().replace(str(base), "") if killed else ""
        falls.append({"phase": phase, "at": fatal, "killed": killed, "images": images, "before": last})
    attempt(command, None, out)
    wanted, there = contents(base / "whole"), contents(out)
    lines = [json.loads(line)["index"] for line in (out / "metadata-0.jsonl").read_text().splitlines()]
    return {
        "ticks": ticks,
        "falls": falls,
        "differing": sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)),
        "files": len(wanted),
        "logged": sorted(lines),
        "verify": str(verify(out)),
        "sound": verify(out).ok,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))))
