"""Where denoising starts: noise, a real image with noise on it, or a point on the circle through two inversions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..maths.interpolation import angle_between, circle_angle, circle_interpolate
from ..maths.rng import sample_noise
from ..plan.sample import CirclePoint, NoisedImage, PlanTable, Sample, Start
from ..typing import Float32

Inversion = Callable[[str], Tensor]
"""The inverted latent [c, h, w] of an image, by its content hash."""
RealImage: TypeAlias = Callable[[str], Image.Image]
"""A real image as an RGB picture, by its content hash."""

NO_IMAGES = "This plan starts from real images, and none came; give the listing that it was made from (images=...)."


def start_step(start: Start, num_inference_steps: int) -> int | None:
    """How many of the first steps a sample leaves out; None where it does not start from an image.

    Of N steps the last floor(strength * N) are run.

    Args:
        start: planned.
        num_inference_steps: N.

    Raises:
        InputError: the strength leaves no step to be run.

    Reference:
        SDEdit (Meng et al., ICLR 2022).
    """
    if not isinstance(start, NoisedImage):
        return None
    return num_inference_steps - _steps_of(start.strength, num_inference_steps)


def check_image_starts(table: PlanTable, num_inference_steps: int, *, given: bool) -> None:
    """Refuse at once what would end a run later on.

    Args:
        table: of the plan, at least one row; it knows all the plan's strengths.
        num_inference_steps: of the run.
        given: whether real images are there.

    Raises:
        InputError: samples start from real images and none are there, or a strength leaves no step to be run.
    """
    if table.images is None:
        return
    if not given:
        raise InputError(NO_IMAGES)
    for strength in table.images.strengths:
        _steps_of(strength, num_inference_steps)


def _steps_of(strength: float, num_inference_steps: int) -> int:
    # 0.29 * 100 is a little less than 29
    steps = math.floor(strength * num_inference_steps + 1e-9)
    if not steps:
        least = math.ceil(1 / strength - 1e-9)
        raise InputError(
            f"The strength {strength:g} leaves none of {num_inference_steps} steps to be run: that would only decode "
            f"the real image again. Take at least {least} steps, or a strength of at least {1 / num_inference_steps:g}."
        )
    return steps


def start_latents(sample: Sample, shape: tuple[int, int, int], inversion: Inversion | None) -> Float32[Tensor, "c h w"]:
    """The unit-variance latent that a sample starts from, on the CPU.

    Args:
        sample: planned.
        shape: of a latent, (c, h, w).
        inversion: looks inverted images up; needed where the sample starts on a circle.

    Raises:
        InputError: the sample needs an inversion that is not to be had, or one of another shape.
    """
    start = sample.start
    if not isinstance(start, CirclePoint):
        return sample_noise(sample.seed, shape)
    if inversion is None:
        raise InputError("This plan starts from inverted images; give the pool of inversions that it was made from.")
    a, b = inversion(start.source_a)[None], inversion(start.source_b)[None]
    if a.shape[1:] != shape:
        raise InputError(
            f"The pool's inversions have the shape {list(a.shape[1:])} and this run's latents have {list(shape)}: "
            "generate at the size that the images were inverted at."
        )
    angle = circle_angle(start.u, angle_between(a, b, seed=[sample.seed]), start.arc)
    return circle_interpolate(a, b, angle, match_norm=start.match_norm, seed=[sample.seed])[0].float()
