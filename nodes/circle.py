"""New start noise on the circle through two inverted images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.interpolation import Arc, angle_between, circle_angle, circle_interpolate
from ..ncm_lib.maths.rng import keyed_permutation, sample_noise, sample_seeds, uniforms
from .noise import MAX_SEED
from .sockets import CATEGORY

DRAWN, GIVEN = "seed", "angle"


class CircleInterpolation(io.ComfyNode):
    """Eq. 5 to 7 of Diff-II as a node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_CircleInterpolation",
            display_name="Circle Interpolation",
            category=CATEGORY,
            description="Makes new start noise from pairs of inverted images of one class: a point on the circle "
            "through both, which keeps the length of the first and so the look of noise.",
            inputs=[
                io.Latent.Input("latent_a", tooltip="Inverted images of one class, from DDIM Inversion."),
                io.Latent.Input(
                    "latent_b",
                    optional=True,
                    tooltip="The partners: row k goes with row k of latent_a, one row goes with all. Without it, pairs "
                    "are drawn within latent_a, and none comes twice before all came once.",
                ),
                io.Int.Input(
                    "count", default=4, min=1, max=4096, tooltip="How many new latents: the batch size from here on."
                ),
                io.Combo.Input(
                    "arc",
                    options=["circle", "interpolation", "extrapolation"],
                    default="circle",
                    tooltip="Where the seed's angles lie. circle: all around. interpolation: between the two images, "
                    "faithful and less varied. extrapolation: the rest of the circle.",
                ),
                io.Combo.Input(
                    "angle_from",
                    options=[DRAWN, GIVEN],
                    default=DRAWN,
                    tooltip="seed: every sample draws its own angle on the arc. angle: all take the angle below, and "
                    "the arc does not count.",
                ),
                io.Float.Input(
                    "angle",
                    default=0.0,
                    min=0.0,
                    max=360.0,
                    step=1.0,
                    round=0.01,
                    tooltip="In degrees from image A, away from image B. 0 and 360 are A. Inversions stand at about "
                    "90 to each other, so B lies near 270.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Other seeds draw other pairs and angles. Those of sample k depend on the seed and on k, "
                    "and not on the count.",
                ),
                io.Boolean.Input(
                    "match_norm",
                    default=False,
                    tooltip="Off: all have the length of image A's noise. On: the length goes over to image B's on the "
                    "way, so that the arc ends in image B exactly. It costs nothing.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="noise latent", tooltip="Start noise for Noise from Latent.")],
        )

    @classmethod
    def execute(
        cls,
        latent_a: dict[str, Any],
        count: int,
        arc: Arc,
        angle_from: str,
        angle: float,
        seed: int,
        match_norm: bool,
        latent_b: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Interpolate; an only image has no partner, and noise takes its place, as in the paper."""
        images = latent_a["samples"]
        kept = {key: value for key, value in latent_a.items() if key not in ("noise_mask", "batch_index")}
        seeds = sample_seeds(seed, 0, count).tolist()
        if latent_b is None and len(images) < 2:
            noise = [sample_noise(sample_seed, images.shape[1:]) for sample_seed in seeds]
            return io.NodeOutput({**kept, "samples": torch.stack(noise)})
        # the library's stream: place on the arc, order of the pair, suffix
        draws = uniforms(seed, "diff-ii", 0, count, 3)
        if latent_b is None:
            first, second = _pairs(len(images), seed, swap=draws[:, 1] < 0.5).T
            a, b = images[first], images[second]
        else:
            a, b = _partners(images, latent_b["samples"], count)
        phi: float | Tensor = math.radians(angle)
        if angle_from == DRAWN:
            phi = circle_angle(torch.as_tensor(draws[:, 0]), angle_between(a, b, seed=seeds), arc)
        points = circle_interpolate(a, b, phi, match_norm=match_norm, seed=seeds)
        return io.NodeOutput({**kept, "samples": points})


def _pairs(images: int, seed: int, *, swap: np.ndarray) -> Tensor:
    """Positions of each sample's two images, [samples, 2]: all unordered pairs in a shuffled order, then again."""
    all_pairs = np.stack(np.tril_indices(images, -1), axis=1)
    epoch, position = np.divmod(np.arange(len(swap)), len(all_pairs))
    pairs = all_pairs[keyed_permutation(position, len(all_pairs), seed, "diff-ii pair 0", epoch)]
    # the circle turns away from the first image, so which one is first matters
    pairs[swap] = pairs[swap][:, ::-1]
    return torch.as_tensor(pairs)


def _partners(a: Tensor, b: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Row k of a with row k of b, counted round to ``count`` pairs."""
    rows = max(len(a), len(b))
    if a.shape[1:] != b.shape[1:] or not {len(a), len(b)} <= {1, rows}:
        raise InputError(
            f"latent_a has the shape {list(a.shape)} and latent_b has {list(b.shape)}; legal is the same shape, or one "
            "row of it for all. Invert both at one image size."
        )
    turn = torch.arange(count) % rows
    return a[turn % len(a)], b[turn % len(b)]
