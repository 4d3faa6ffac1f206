"""Where denoising starts: noise, or a point on the circle through two inversions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..errors import InputError
from ..maths.interpolation import angle_between, circle_angle, circle_interpolate
from ..maths.rng import sample_noise
from ..plan.sample import CirclePoint, Sample
from ..typing import Float32

Inversion = Callable[[str], Tensor]
"""The inverted latent [c, h, w] of an image, by its content hash."""


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
