"""Samples as flat vectors in float64: what the circle interpolation is made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Bool, Float64
from .rng import Seeds, normals, row_seeds

PARALLEL = 1e-4
"""Below this |b_orthogonal| / |b| the direction of b is rounding noise, and a random one is taken."""


def norms(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """Euclidean norm of each row."""
    return rows.square().sum(1).sqrt()


def paired_vectors(
    a: Tensor, b: Tensor, seed: Seeds
) -> tuple[Float64[Tensor, "n d"], Float64[Tensor, "n d"], list[int]]:
    """Both as flat rows in float64, with noise in place of zero vectors, and a seed for each row."""
    if a.shape != b.shape or a.ndim < 2:
        raise InputError(
            f"The two tensors have shapes {tuple(a.shape)} and {tuple(b.shape)}; both must be [n, ...], one sample "
            "per row."
        )
    first, second = (side.detach().to("cpu", torch.float64).flatten(1) for side in (a, b))
    size = first.shape[1]
    if size < 2:
        raise InputError(f"The samples have {size} element each; a circle needs at least 2.")
    if not bool(torch.isfinite(first).all() & torch.isfinite(second).all()):
        raise InputError("A latent holds NaN or infinite values; invert its image again, in float32 if it was half.")
    seeds = row_seeds(seed, len(first))
    return (
        _replaced(first, norms(first) == 0, lambda row: _normal_row(seeds[row], "circle_a", size)),
        _replaced(second, norms(second) == 0, lambda row: _normal_row(seeds[row], "circle_b", size)),
        seeds,
    )


def components(
    a: Float64[Tensor, "n d"], b: Float64[Tensor, "n d"]
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, "n d"]]:
    """The length of b along a (signed), and the rest of b."""
    unit = a / norms(a)[:, None]
    along = (unit * b).sum(1)
    orthogonal = b - along[:, None] * unit
    # once more: what rounding left along a would bend the direction of a short rest
    return along, orthogonal - (unit * orthogonal).sum(1)[:, None] * unit


def unit_orthogonal(
    a: Float64[Tensor, "n d"], b: Float64[Tensor, "n d"], orthogonal: Float64[Tensor, "n d"], seeds: list[int]
) -> Float64[Tensor, "n d"]:
    """The direction of b's orthogonal part, or a random one orthogonal to a where b is near-parallel to a."""
    parallel = norms(orthogonal) < PARALLEL * norms(b)

    def random_direction(row: int) -> Tensor:
        return components(a[row : row + 1], _normal_row(seeds[row], "circle_direction", a.shape[1])[None])[1][0]

    chosen = _replaced(orthogonal, parallel, random_direction)
    return chosen / norms(chosen)[:, None]


def per_row(name: str, value: float | Tensor, rows: int) -> Float64[Tensor, " n"]:
    """A finite number, or one per row, as a column of float64."""
    column = torch.as_tensor(value, dtype=torch.float64, device="cpu").reshape(-1)
    if len(column) not in (1, rows) or not bool(torch.isfinite(column).all()):
        raise InputError(f"{name} has {len(column)} values; give a finite number, or one for each of the {rows} rows.")
    return column.expand(rows)


def _replaced(
    rows: Float64[Tensor, "n d"], which: Bool[Tensor, " n"], replacement: Callable[[int], Tensor]
) -> Float64[Tensor, "n d"]:
    picked = [int(row) for row in which.nonzero()[:, 0]]
    if not picked:
        return rows
    rows = rows.clone()
    for row in picked:
        rows[row] = replacement(row)
    return rows


def _normal_row(seed: int, purpose: str, size: int) -> Float64[Tensor, " size"]:
    return torch.as_tensor(normals(seed, purpose, size))
