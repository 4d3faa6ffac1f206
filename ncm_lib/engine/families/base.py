"""What the engine knows of a model, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from ...typing import Float32
from ..conditioning import Conditioning
from ..schedulers import Scheduler

Guidance: TypeAlias = Literal["classifier-free", "embedded", "none"]
"""How a model is guided: by an unconditional branch, by an input of its own (distilled), or not at all."""


@runtime_checkable
class Family(Protocol):
    """What the denoising loop needs to know of a model.

    To add a family: write the members below over its components' public calls, and name its pipeline class in
    ``families.registry``. Latents stay in float32 and unpacked outside; each adapter casts to the model's dtype.
    """

    @property
    def scheduler(self) -> Scheduler:
        """The model's own scheduler: its noise schedule and prediction type count, not its kind."""
        ...

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        ...

    @property
    def latent_cell(self) -> int:
        """Image pixels along one side of a latent cell."""
        ...

    @property
    def size_multiple(self) -> int:
        """What image sides are multiples of: the cell, or the patch of cells that a transformer reads."""
        ...

    @property
    def default_size(self) -> int:
        """Image side in pixels that the model was trained for."""
        ...

    @property
    def guidance(self) -> Guidance:
        """How the model is guided."""
        ...

    @property
    def default_guidance(self) -> float:
        """The guidance scale that suits the family."""
        ...

    def with_guidance(self, scale: float | int) -> Family:
        """The same model with its embedded guidance at ``scale``; itself where guidance is of another kind."""
        ...

    def encode(self, prompts: Sequence[str]) -> Sequence[Conditioning]:
        """The conditioning of each prompt, on the model's device, without a batch dimension."""
        ...

    def encode_negative(self, prompt: str) -> Conditioning:
        """The conditioning of the unconditional branch."""
        ...

    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        """Lay out the scheduler's steps, on the CPU, for latents of ``height`` by ``width`` cells."""
        ...

    def predict(self, latents: Float32[Tensor, "rows c h w"], timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """The model's prediction [rows, c, h, w] in float32, under one conditioning per row."""
        ...

    def forget(self) -> None:
        """Drop what the model keeps from step to step (``Speed.cache``): a run begins, or its rows change."""
        ...

    def decode(self, latents: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 3 height width"]:
        """Images in [0, 1]; NaN where the model made NaN."""
        ...

    def encode_images(self, pixels: Float32[Tensor, "n 3 height width"]) -> Float32[Tensor, "n c h w"]:
        """The latents of images in [0, 1]: the mean of the autoencoder's posterior, so that nothing is drawn."""
        ...
