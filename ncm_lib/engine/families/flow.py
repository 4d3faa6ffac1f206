"""What the flow-matching families share: a transformer over patches of latents, and steps that depend on the size."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..schedulers import Scheduler
from ..step_cache import forget
from .latent import LatentModel


@dataclass(frozen=True, kw_only=True)
class FlowModel(LatentModel):
    """A transformer that predicts the flow, noise - x0, for patches of ``patch`` by ``patch`` latent cells."""

    transformer: Any

    @property
    def patch(self) -> int:
        """Latent cells along one side of a token."""
        return 2

    @property
    def size_multiple(self) -> int:
        """Image pixels along one side of a token."""
        return self.patch * self.latent_cell

    def forget(self) -> None:
        """Drop what a cache keeps of earlier steps."""
        forget(self.transformer)


def set_flow_timesteps(scheduler: Scheduler, own: Scheduler, steps: int, tokens: int, *, even: bool) -> None:
    """Lay out the steps of a flow scheduler.

    With dynamic shifting the steps move towards the noise as images grow: mu is linear in the number of tokens, from
    ``base_shift`` at ``base_image_seq_len`` tokens to ``max_shift`` at ``max_image_seq_len``.

    Args:
        scheduler: to be set.
        own: the model's own scheduler, whose config has the shifts.
        steps: of inference.
        tokens: of an image.
        even: sigmas 1, 1 - 1/n, ..., 1/n before the shift, as FLUX has them; else the scheduler's own.
    """
    options: dict[str, Any] = {}
    if scheduler.config.get("use_dynamic_shifting"):
        low, high = own.config["base_shift"], own.config["max_shift"]
        short, long = own.config["base_image_seq_len"], own.config["max_image_seq_len"]
        options["mu"] = low + (high - low) * (tokens - short) / (long - short)
    takes_sigmas = "sigmas" in inspect.signature(scheduler.set_timesteps).parameters
    if even and takes_sigmas and not scheduler.config.get("use_flow_sigmas"):
        options["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(steps, device="cpu", **options)
