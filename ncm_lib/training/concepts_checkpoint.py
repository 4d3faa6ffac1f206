"""All that a training needs to go on, as one file that is either whole or not there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import InputError
from ..store.disk import replace_bytes

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What changes from step to step: the parameters, AdamW's moments, and the loss scale of fp16."""

    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: Any = None

    def write(self, folder: Path, step: int) -> None:
        """Write the state after ``step`` steps; the file before it stays whole until this one is on the disk."""
        tensors: dict[str, Tensor] = {}
        updates = 0
        for name, parameter in self.parameters.items():
            tensors[f"value/{name}"] = parameter.detach().cpu().contiguous()
            if parameter in self.optimizer.state:
                own = self.optimizer.state[parameter]
                # fp16 leaves updates out whose gradients overflow, so this is not always the number of steps
                updates = int(own["step"])
                tensors |= {f"{moment}/{name}": own[moment].detach().cpu().contiguous() for moment in _MOMENTS}
        scaler = self.scaler.state_dict() if self.scaler is not None else {}
        # one entry: safetensors would write several in any order, and equal states are to be equal bytes
        state = json.dumps({"step": step, "updates": updates, "scaler": scaler}, sort_keys=True)
        replace_bytes(folder / CHECKPOINT, save(tensors, {"state": state}))

    def read(self, folder: Path) -> int:
        """Bring everything to where the folder's checkpoint left it.

        Returns:
            The number of steps; 0 where there is no checkpoint.

        Raises:
            InputError: the file is damaged, or not of this training.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            return 0
        try:
            with safe_open(path, framework="pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118, no mapping
                metadata = handle.metadata() or {}
            state = json.loads(metadata["state"])
            step, updates, scaler = int(state["step"]), int(state["updates"]), state["scaler"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is damaged ({error}). Restore it from a copy, or delete it: the training then begins anew."
            ) from error
        moments = _MOMENTS if updates else ()
        expected = {f"{part}/{name}" for part in ("value", *moments) for name in self.parameters}
        if tensors.keys() != expected:
            odd = sorted(tensors.keys() ^ expected)[0]
            raise InputError(f"{path} does not fit this training ({odd!r} is on one side only); take a new folder.")
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"value/{name}"])
                if updates:
                    own = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in moments}
                    self.optimizer.state[parameter] = {"step": torch.tensor(float(updates)), **own}
        if self.scaler is not None and scaler:
            self.scaler.load_state_dict(scaler)
        return step
