"""Atomic training checkpoints: a killed run continues at the last saved step."""

import json
import time
from pathlib import Path
from typing import Any

import torch

SECONDS = 120
"""How much of its work a killed run may lose."""


class Checkpoint:
    """The state of several ``state_dict`` holders in one file."""

    def __init__(self, file: Path, parts: dict[str, Any]) -> None:
        self.file = file
        self.parts = parts
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last save is a while ago."""
        return time.monotonic() - self._saved >= SECONDS

    def load(self) -> int:
        """Restore all parts; the step to continue from (0 without a file)."""
        if not self.file.is_file():
            return 0
        saved = torch.load(self.file, weights_only=True, map_location="cpu")
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        return saved["step"]

    def save(self, step: int) -> None:
        """Write beside the file, then replace it: a kill in mid-save leaves the previous one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        torch.save({"step": step} | {name: part.state_dict() for name, part in self.parts.items()}, temporary)
        temporary.replace(self.file)
        self._saved = time.monotonic()


def same_work(work: Path, settings: dict[str, Any]) -> None:
    """Note what ``work`` is for, or refuse it when it is for something else: its checkpoints would not fit."""
    file = work / "settings.json"
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    if file.is_file() and file.read_text() != text:
        was = json.loads(file.read_text())
        changed = sorted(key for key in was.keys() | settings.keys() if was.get(key) != json.loads(text).get(key))
        raise SystemExit(
            f"{work} belongs to other settings ({', '.join(changed)}). Name another folder with "
            "--work, or delete this one"
        )
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
