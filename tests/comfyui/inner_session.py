"""The pytest session that runs in ComfyUI's own Python, one file at a time, and what came of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from .installation import Installation

INSIDE = Path(__file__).parent / "inside"
FILES = sorted(INSIDE.rglob("test_*.py"))
# A hung file fails alone; the slowest one takes a tenth of this.
SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class InnerSession:
    """The outcome of one file's tests.

    Attributes:
        passed: How many tests passed.
        faults: Why the file does not count as passed; empty where it does.
        output: What pytest printed.
    """

    passed: int
    faults: list[str]
    output: str


def run_inside(comfyui: Installation, file: Path, folder: Path, *, seconds: float = SECONDS) -> InnerSession:
    """Run one file of tests in ComfyUI's Python; ``folder`` is empty, and for whatever the session writes."""
    report = folder / "report.xml"
    command = [str(comfyui.python), "-m", "pytest", "-c", str(INSIDE / "pytest.ini"), "--tb=short", "--color=no",
               f"--basetemp={folder / 'tmp'}", f"--junit-xml={report}", str(file)]  # fmt: skip
    try:
        run = subprocess.run(
            command, cwd=comfyui.checkout, env=comfyui.environment(), stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
            timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        return InnerSession(passed=0, faults=[f"It was ended after {seconds:.0f} seconds."], output=output)
    head = f"In {comfyui.checkout}:\n{' '.join(command)}\n\n"
    passed, skipped = _count(report)
    faults = [f"pytest ended with {run.returncode}."] if run.returncode else []
    if not passed and not faults:
        faults.append("No test passed: there is none in the file, or all were skipped.")
    # Nobody reads the reasons of skips inside a session that passes.
    faults += [f"{name} was skipped: {reason}" for name, reason in skipped]
    return InnerSession(passed=passed, faults=faults, output=head + run.stdout)


def _count(report: Path) -> tuple[int, list[tuple[str, str]]]:
    """How many tests passed, and which were skipped why."""
    if not report.exists():
        return 0, []
    passed, skipped = 0, []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - the file is our own
        passed += len(case) == 0 or all(child.tag.startswith(("system-", "properties")) for child in case)
        for skip in case.iter("skipped"):
            if skip.get("type") == "pytest.skip":
                skipped.append((case.get("name"), skip.get("message")))
    return passed, skipped
