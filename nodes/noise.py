"""Start noise that does not depend on the batch, and latents as start noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.rng import sample_noise, sample_seeds
from .sockets import CATEGORY

MAX_SEED = 2**53 - 1
"""Exact in JSON and JavaScript, through which a workflow's numbers pass."""


class PerSampleNoise:
    """A NOISE: the noise of the sample at a position of the batch comes from that sample's own seed.

    Args:
        seed: what stochastic samplers draw from during the run.
        seed_at: the sample's seed by its position.
    """

    def __init__(self, seed: int, seed_at: Callable[[int], int]) -> None:
        self.seed = seed
        self._seed_at = seed_at

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        """Noise for the latents, [N, ...] in float32 on the CPU; ``batch_index`` says which positions they hold."""
        samples = _tensor(input_latent)
        positions: Sequence[int] = input_latent.get("batch_index") or range(len(samples))
        return torch.stack([sample_noise(self._seed_at(position), samples.shape[1:]) for position in positions])


class LatentNoise:
    """A NOISE that is a given latent, one row for all samples or one for each."""

    def __init__(self, latents: Tensor, seed: int) -> None:
        self.seed = seed
        self._latents = latents

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        """The latents, fitted to the batch."""
        samples = _tensor(input_latent)
        if self._latents.shape[1:] != samples.shape[1:] or len(self._latents) not in (1, len(samples)):
            raise InputError(
                f"The latent that serves as noise has the shape {list(self._latents.shape)} and the latents to denoise "
                f"have {list(samples.shape)}; legal is the same shape, or one row of it for all samples."
            )
        return self._latents.expand_as(samples).clone()


def _tensor(latent: dict[str, Any]) -> Tensor:
    samples = latent["samples"]
    if samples.is_nested:
        raise InputError(
            "The LATENT holds several tensors (such as picture and sound), and this noise is made for one. "
            "Give it the picture's LATENT, or use RandomNoise."
        )
    return samples


class SampleNoise(io.ComfyNode):
    """The library's noise: sample k of a batch is sample k alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_SampleNoise",
            display_name="Per-Sample Noise",
            category=CATEGORY,
            description="Start noise by sample: sample k of a batch gets the same noise as sample k alone, whatever "
            "the batch size, and the same as the Python library gives that seed and index.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="The data set's seed. Every sample has a stream of its own below it.",
                ),
                io.Int.Input(
                    "first_index",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    tooltip="Index of the batch's first sample. 8 with a batch of 4 makes the noise of samples 8 to "
                    "11.",
                ),
            ],
            outputs=[
                io.Noise.Output(
                    display_name="noise",
                    tooltip="For SamplerCustomAdvanced or the Dual-Prompt Mixed Sampler. Deterministic samplers "
                    "(euler, dpmpp_2m, ddim, uni_pc) then make sample k as they make it alone; ancestral and SDE "
                    "samplers draw further noise for the whole batch at once, so theirs repeats per batch only.",
                )
            ],
        )

    @classmethod
    def execute(cls, seed: int, first_index: int) -> io.NodeOutput:
        """Build the NOISE."""

        def seed_at(position: int) -> int:
            index = first_index + position
            return int(sample_seeds(seed, index, index + 1)[0])

        return io.NodeOutput(PerSampleNoise(seed, seed_at))


class NoiseFromLatent(io.ComfyNode):
    """Denoising may start from any latent, such as an inversion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_NoiseFromLatent",
            display_name="Noise from Latent",
            category=CATEGORY,
            description="Uses a latent as the start noise, for example an inverted image. Its values are taken as they "
            "are: noise of unit variance, which the sampler scales to its first sigma.",
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="Unit-variance noise: one row for all samples, or one for each. It is not rescaled.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Only for samplers that add noise of their own during the run (ancestral, SDE).",
                ),
            ],
            outputs=[
                io.Noise.Output(
                    display_name="noise", tooltip="For SamplerCustomAdvanced or the Dual-Prompt Mixed Sampler."
                )
            ],
        )

    @classmethod
    def execute(cls, latent: dict[str, Any], seed: int) -> io.NodeOutput:
        """Build the NOISE."""
        return io.NodeOutput(LatentNoise(latent["samples"], seed))
