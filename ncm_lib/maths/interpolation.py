"""Circle interpolation of Diff-II: new start latents on the circle through two inversions.

Samples are rows (dimension 0), and each row counts as one flat vector. Angles, norms and dot products are in float64:
float32's arc cosine cannot tell angles below 3.5e-4 apart and misses identical vectors.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float, Float64
from .rng import Seeds
from .vectors import PARALLEL, components, norms, paired_vectors, per_row, unit_orthogonal

Arc = Literal["circle", "interpolation", "extrapolation"]


def circle_coefficients(alpha: float | int, lam: float | int) -> tuple[float, float]:
    """The weights of two vectors of equal norm in their circle interpolation.

    Z = c_a * I_a + c_b * I_b with c_a = sin((1 + lambda) * alpha) / sin(alpha) and
    c_b = -sin(lambda * alpha) / sin(alpha); c_a^2 + c_b^2 + 2 c_a c_b cos(alpha) = 1, so |Z| = |I_a|.

    Args:
        alpha: angle between the two vectors in radians, in (0, pi).
        lam: lambda, the strength: 0 is I_a, and one turn ends at 2*pi/alpha. Any finite number.

    Returns:
        (c_a, c_b). They grow without bound as alpha nears 0 or pi, where ``circle_interpolate`` stays stable.

    Raises:
        InputError: alpha is not inside (0, pi), or lam is not finite.

    Example:
        >>> c_a, c_b = circle_coefficients(math.pi / 2, 0.5)
        >>> round(c_a, 8), round(c_b, 8)
        (0.70710678, -0.70710678)

    Reference:
        Eq. 5, Diff-II (Wang and Chen, CVPR 2025).
    """
    if not (0 < alpha < math.pi and math.isfinite(lam)):
        raise InputError(
            f"alpha is {alpha} and lambda is {lam}; alpha must be between 0 and pi, both excluded (parallel vectors "
            "span no circle; circle_interpolate handles them), and lambda finite."
        )
    # Eq. 5, Diff-II
    return math.sin((1 + lam) * alpha) / math.sin(alpha), -math.sin(lam * alpha) / math.sin(alpha)


def circle_angle(
    u: float | int | Float[Tensor, " ..."], alpha: float | int | Float[Tensor, " ..."], arc: Arc
) -> Float64[Tensor, " ..."]:
    """Turn a plan's uniform number into the angle phi of ``circle_interpolate``.

    phi = 2*pi*u on the whole circle, u*(2*pi - alpha) for extrapolation (the long way from a round to b), and
    2*pi - (1 - u)*alpha for interpolation (the short way from b to a).

    Args:
        u: position on the arc, in [0, 1].
        alpha: angle between the two vectors (``angle_between``), in [0, pi].
        arc: "circle", "interpolation" or "extrapolation".

    Returns:
        Radians in [0, 2*pi], of the broadcast shape of u and alpha.

    Raises:
        InputError: an argument is out of its range, or arc is not one of the words above.

    Example:
        >>> circle_angle(0.25, 1.0, "circle").item() == math.pi / 2
        True

    Reference:
        Eq. 5-7, Diff-II.
    """
    if arc not in get_args(Arc):
        raise InputError(f"arc is {arc!r}; take one of: {', '.join(get_args(Arc))}.")
    place, angle = torch.as_tensor(u, dtype=torch.float64), torch.as_tensor(alpha, dtype=torch.float64)
    if not bool(((place >= 0) & (place <= 1)).all() & ((angle >= 0) & (angle <= math.pi)).all()):
        raise InputError("u must be from 0 to 1, and alpha, the angle between two vectors, from 0 to pi.")
    turn = 2 * math.pi
    if arc == "circle":  # Eq. 5, Diff-II
        return turn * place + torch.zeros_like(angle)
    if arc == "interpolation":  # Eq. 6, Diff-II
        return turn - (1 - place) * angle
    # Eq. 7, Diff-II
    return place * (turn - angle)


def angle_between(
    a: Float[Tensor, " n *dims"], b: Float[Tensor, " n *dims"], *, seed: Seeds = 0
) -> Float64[Tensor, " n"]:
    """The angle between the rows of two tensors.

    alpha = atan2(|b_orthogonal|, <a, b> / |a|), with b_orthogonal the part of b orthogonal to a: exact near 0 and pi,
    where an arc cosine is not.

    Args:
        a: n vectors of any shape, each of at least 2 elements.
        b: n vectors of the same shape.
        seed: as for ``circle_interpolate``: a vector of norm 0 counts as the Gaussian noise that replaces it there.

    Returns:
        Radians in [0, pi], on the CPU.

    Raises:
        InputError: the shapes differ, a value is not finite, or a vector has less than 2 elements.

    Example:
        >>> angle_between(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).item() == math.pi / 2
        True
    """
    first, second, _ = paired_vectors(a, b, seed)
    along, orthogonal = components(first, second)
    return torch.atan2(norms(orthogonal), along)


def circle_interpolate(
    a: Float[Tensor, " n *dims"],
    b: Float[Tensor, " n *dims"],
    angle: float | int | Float[Tensor, " n"] | Float[Tensor, ""],
    *,
    match_norm: bool = False,
    seed: Seeds = 0,
) -> Float[Tensor, " n *dims"]:
    """Turn the rows of ``a`` by an angle in the plane that they span with the rows of ``b``, away from ``b``.

    Z = cos(phi) * a - sin(phi) * b', with b' the part of b orthogonal to a, scaled to |a|. This is Eq. 5 of Diff-II
    (``circle_coefficients``, phi = lambda * alpha) where the norms agree, without its division by sin(alpha).

    Args:
        a: n vectors of any shape, each of at least 2 elements; phi = 0 gives them.
        b: n vectors of the same shape; phi = 2*pi - alpha reaches their direction, alpha the angle between a and b.
        angle: phi in radians, one for all rows or one per row (``circle_angle``).
        match_norm: False: |Z| = |a| everywhere. True: |Z| goes linearly in phi from |a| at 0 to |b| at 2*pi - alpha
            (where Z = b) and back to |a| at 2*pi.
        seed: in [0, 2**63): one per row, so that a row's outcome does not depend on its slot, or one from which the
            rows' seeds are drawn. It matters in two cases only: a vector of norm 0 becomes Gaussian noise, and where
            |b_orthogonal| / |b| < 1e-4 (identical, opposite and near-parallel vectors) b' is a random direction.

    Returns:
        n vectors in the dtype and on the device of ``a``; computed in float64 on the CPU.

    Raises:
        InputError: shapes do not fit, a value is not finite, or a vector has less than 2 elements.

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> [round(value, 6) for value in circle_interpolate(a, b, 1.5 * math.pi)[0].tolist()]
        [-0.0, 1.0]

    Reference:
        Eq. 5, Diff-II (Wang and Chen, CVPR 2025).
    """
    first, second, seeds = paired_vectors(a, b, seed)
    phi = per_row("angle", angle, len(first))
    along, orthogonal = components(first, second)
    norm_a = norms(first)
    direction = unit_orthogonal(first, second, orthogonal, seeds)
    # stable form of Eq. 5, Diff-II
    z = torch.cos(phi)[:, None] * first - (torch.sin(phi) * norm_a)[:, None] * direction
    if match_norm:
        turned = phi.remainder(2 * math.pi)
        alpha = torch.atan2(norms(orthogonal), along)
        to_b = 2 * math.pi - alpha
        back = (2 * math.pi - turned) / alpha.clamp(min=torch.finfo(torch.float64).tiny)
        share = torch.where(turned <= to_b, turned / to_b, back)
        z = z * torch.lerp(torch.ones_like(share), norms(second) / norm_a, share)[:, None]
    return z.reshape(a.shape).to(a.device, a.dtype)


def slerp(
    a: Float[Tensor, " n *dims"],
    b: Float[Tensor, " n *dims"],
    fraction: float | int | Float[Tensor, " n"] | Float[Tensor, ""],
    *,
    seed: Seeds = 0,
) -> Float[Tensor, " n *dims"]:
    """Interpolate on the short arc from the rows of ``a`` to the rows of ``b``.

    The direction turns by fraction * alpha from a towards b, alpha the angle between them, and the norm goes linearly
    from |a| to |b|. For equal norms this is sin((1-f)*alpha)/sin(alpha) * a + sin(f*alpha)/sin(alpha) * b.

    Args:
        a: n vectors of any shape, each of at least 2 elements; fraction 0 gives them.
        b: n vectors of the same shape; fraction 1 gives them (to within 1e-4 where they are opposite to a).
        fraction: f, in [0, 1], one for all rows or one per row.
        seed: as for ``circle_interpolate``. Vectors within 1e-4 of parallel are interpolated on the straight line;
            opposite ones turn in a random plane.

    Returns:
        n vectors in the dtype and on the device of ``a``; computed in float64 on the CPU.

    Raises:
        InputError: shapes do not fit, a value is not finite, a fraction is outside [0, 1], or a vector has less than 2
            elements.

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> [round(value, 6) for value in slerp(a, b, 0.5)[0].tolist()]
        [0.707107, 0.707107]

    Reference:
        Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985; Eq. 6, Diff-II.
    """
    first, second, seeds = paired_vectors(a, b, seed)
    share = per_row("fraction", fraction, len(first))
    if not bool(((share >= 0) & (share <= 1)).all()):
        raise InputError("A fraction is outside [0, 1]; slerp stays between a and b (circle_interpolate goes round).")
    along, orthogonal = components(first, second)
    norm_a, norm_b = norms(first), norms(second)
    turn = share * torch.atan2(norms(orthogonal), along)
    direction = unit_orthogonal(first, second, orthogonal, seeds)
    # Eq. 6, Diff-II, written as a turn from a towards b
    arc = torch.cos(turn)[:, None] * (first / norm_a[:, None]) + torch.sin(turn)[:, None] * direction
    arc = arc * torch.lerp(norm_a, norm_b, share)[:, None]
    straight = (along > 0) & (norms(orthogonal) < PARALLEL * norm_b)
    z = torch.where(straight[:, None], torch.lerp(first, second, share[:, None]), arc)
    return z.reshape(a.shape).to(a.device, a.dtype)
