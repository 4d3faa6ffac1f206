"""Atomic training checkpoints: a killed run continues at the last saved step."""

from pathlib import Path
from typing import Any

import torch


class Checkpoint:
    """The state of several ``state_dict`` holders in one file."""

    def __init__(self, file: Path, parts: dict[str, Any]) -> None:
        self.file = file
        self.parts = parts

    def load(self) -> int:
        """Restore all parts; the step to continue from (0 without a file)."""
        if not self.file.is_file():
            return 0
        saved = torch.load(self.file, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        return saved["step"]

    def save(self, step: int) -> None:
        """Write beside the file, then replace it: a kill in mid-save leaves the previous one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        torch.save({"step": step} | {name: part.state_dict() for name, part in self.parts.items()}, temporary)
        temporary.replace(self.file)
