"""CutMix masks on any grid: boxes by the thousand from counter-based streams, and their rendering.

M = 1 means class A everywhere in this library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor

from ..errors import InputError
from ..typing import Float32, Float64, Int32
from .rng import uniforms

Placement = Literal["truncate", "inside"]
Rounding = Literal["reference", "exact"]
BoxClass = Literal["b", "a"]


class Box(NamedTuple):
    """The cells x0 <= x < x1, y0 <= y < y1 of a grid."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def area(self) -> int:
        """Number of cells."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


@dataclass(frozen=True, kw_only=True)
class CutMixPlan:
    """Boxes and label weights of n samples, without mask tensors."""

    boxes: Int32[np.ndarray, "n 4"]
    """x0, y0, x1, y1 in cells, half open."""
    lam: Float64[np.ndarray, " n"]
    """The drawn lambda: the share of the grid outside the box before rounding and truncation. Never the label."""
    weight_a: Float64[np.ndarray, " n"]
    """Class A's share of the label: the exact mean of the mask."""


@dataclass(frozen=True, kw_only=True)
class CutMixMasks:
    """Masks of n samples with what they were made of; the fields of ``CutMixPlan`` as tensors."""

    mask: Float32[Tensor, "n 1 h w"]
    """1 where class A owns the cell, 0 where class B does."""
    boxes: Int32[Tensor, "n 4"]
    lam: Float64[Tensor, " n"]
    weight_a: Float64[Tensor, " n"]


def cutmix_box(width: int, height: int, lam: float | int, cx: int, cy: int) -> Box:
    """Cut the box of CutMix by the integer rule of its published code.

    cut = trunc(L * sqrt(1 - lam)) and [clip(c - cut//2, 0, L), clip(c + cut//2, 0, L)) along each axis, with L the
    axis's length and c the centre: the box is cut off at the border, and odd cuts lose a cell.

    Args:
        width: cells along x, at least 1.
        height: cells along y, at least 1.
        lam: share of the grid that stays outside the box, in [0, 1]; 1 gives an empty box.
        cx: centre in [0, width).
        cy: centre in [0, height).

    Returns:
        The box; empty where x0 == x1 or y0 == y1.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> cutmix_box(64, 64, 0.5, 32, 32)
        Box(x0=10, y0=10, x1=54, y1=54)

    Reference:
        Eq. 3-4, NoiseCutMix; Yun et al., CutMix, ICCV 2019.
    """
    _check_size(height, width)
    if not 0 <= lam <= 1:
        raise InputError(f"lambda is {lam}; it is the share outside the box: take a number from 0 to 1.")
    if not (0 <= cx < width and 0 <= cy < height):
        raise InputError(f"The centre ({cx}, {cy}) is off the grid; take 0 <= cx < {width} and 0 <= cy < {height}.")
    side = np.sqrt(1.0 - np.array([lam], dtype=np.float64))
    x0, x1 = _truncated(width, side, np.array([cx]), "reference")
    y0, y1 = _truncated(height, side, np.array([cy]), "reference")
    return Box(int(x0[0]), int(y0[0]), int(x1[0]), int(y1[0]))


def plan_cutmix(
    n: int,
    height: int,
    width: int,
    *,
    alpha: float | int = 1.0,
    seed: int = 0,
    start: int = 0,
    placement: Placement = "truncate",
    rounding: Rounding = "reference",
    box_class: BoxClass = "b",
) -> CutMixPlan:
    """Draw the boxes and label weights of the samples ``start..start+n-1``.

    lambda ~ Beta(alpha, alpha); the box has width W*sqrt(1-lambda) and height H*sqrt(1-lambda) at a uniform position.
    The mask is M = 0 in the box (class B) and 1 elsewhere (class A). weight_a = mean of M.

    Args:
        n: how many, at least 0.
        height: H of the grid in cells, at least 1.
        width: W of the grid in cells, at least 1.
        alpha: above 0 and finite. 1: all lambda alike; larger: nearer to 1/2; smaller: nearer to 0 and 1.
        seed: in [0, 2**63).
        start: index of the first sample; sample ``start + i`` depends on (seed, start + i) only.
        placement: "truncate": the centre is uniform over the grid and the box is cut off at the border. "inside": the
            whole box fits, its sides rounded to the nearest cell, so that E[weight_a] = 0.5.
        rounding: of truncated boxes. "reference": ``cutmix_box``, which shrinks boxes by up to 2 cells a side (their
            mean share is 0.3195 at 512 cells and 0.277 at 16). "exact": [c - cut//2, c - cut//2 + cut) with cut
            rounded to the nearest cell, which keeps 0.321 at 16 to 512.
        box_class: who owns the box: "b" as in the paper, "a" as in its published code.

    Returns:
        Arrays of n rows.

    Raises:
        InputError: an argument is out of its range or not one of the words above.

    Example:
        >>> plan = plan_cutmix(1000, 64, 64)
        >>> bool((plan.boxes[7:] == plan_cutmix(993, 64, 64, start=7).boxes).all())
        True

    Reference:
        Eq. 2-4, NoiseCutMix (Takezaki et al., ICCV Workshops 2025).
    """
    _check_size(height, width)
    _check_word("placement", placement, get_args(Placement))
    _check_word("rounding", rounding, get_args(Rounding))
    _check_word("box_class", box_class, get_args(BoxClass))
    if n < 0:
        raise InputError(f"n is {n}; ask for 0 or more samples.")
    if not (alpha > 0 and math.isfinite(alpha)):
        raise InputError(f"alpha is {alpha}; Beta(alpha, alpha) needs a finite number above 0 (1 is the paper's).")
    draws = uniforms(seed, "cutmix", start, start + n, 3)
    u_lam, u_x, u_y = draws[:, 0], draws[:, 1], draws[:, 2]
    # Eq. 3, NoiseCutMix: lambda ~ Beta(alpha, alpha), by inverse CDF, which is the identity for alpha = 1
    lam: NDArray[np.float64] = np.ascontiguousarray(u_lam)
    if alpha != 1:
        lam = betaincinv(float(alpha), float(alpha), lam)
    # Eq. 4, NoiseCutMix: the box's sides are W sqrt(1 - lambda) and H sqrt(1 - lambda)
    side = np.sqrt(1.0 - lam)
    if placement == "inside":
        x0, x1 = _inside(width, side, u_x)
        y0, y1 = _inside(height, side, u_y)
    else:
        x0, x1 = _truncated(width, side, (u_x * width).astype(np.int64), rounding)
        y0, y1 = _truncated(height, side, (u_y * height).astype(np.int64), rounding)
    # Eq. 2, NoiseCutMix: w_A = mean of M, from integers
    cells = height * width
    box_cells = (x1 - x0) * (y1 - y0)
    weight_a = (box_cells if box_class == "a" else cells - box_cells) / cells
    return CutMixPlan(boxes=np.stack([x0, y0, x1, y1], axis=1).astype(np.int32), lam=lam, weight_a=weight_a)


def sample_cutmix_masks(
    n: int,
    height: int,
    width: int,
    *,
    alpha: float | int = 1.0,
    seed: int = 0,
    start: int = 0,
    placement: Placement = "truncate",
    rounding: Rounding = "reference",
    box_class: BoxClass = "b",
) -> CutMixMasks:
    """Draw the masks of the samples ``start..start+n-1``: ``plan_cutmix``, rendered.

    Args:
        n: how many, at least 0.
        height: of the grid in cells, at least 1.
        width: of the grid in cells, at least 1.
        alpha: see ``plan_cutmix``, as for all that follow.
        seed: in [0, 2**63).
        start: index of the first sample.
        placement: "truncate" or "inside".
        rounding: "reference" or "exact".
        box_class: "b" or "a".

    Returns:
        Tensors of n rows on the CPU. For masks on another grid, such as boxes in pixels on a latent grid, pass the
        mask through ``area_resize``, which keeps its mean.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> masks = sample_cutmix_masks(8, 64, 64, seed=0)
        >>> bool((masks.mask.double().mean(dim=(1, 2, 3)) == masks.weight_a).all())
        True

    Reference:
        Eq. 2-4, NoiseCutMix.
    """
    plan = plan_cutmix(
        n, height, width, alpha=alpha, seed=seed, start=start, placement=placement, rounding=rounding,
        box_class=box_class,
    )  # fmt: skip
    return CutMixMasks(
        mask=render_boxes(plan.boxes, height, width, box_class=box_class),
        boxes=torch.as_tensor(plan.boxes),
        lam=torch.as_tensor(plan.lam),
        weight_a=torch.as_tensor(plan.weight_a),
    )


def render_boxes(
    boxes: Int32[np.ndarray, "n 4"], height: int, width: int, *, box_class: BoxClass = "b"
) -> Float32[Tensor, "n 1 h w"]:
    """Render boxes to masks.

    M = 0 in the box and 1 elsewhere for box_class "b"; the other way round for "a".

    Args:
        boxes: rows of x0, y0, x1, y1 in cells, half open; an empty box renders to none of the grid.
        height: of the grid in cells, at least 1.
        width: of the grid in cells, at least 1.
        box_class: who owns the box.

    Returns:
        Values 0 and 1.

    Raises:
        InputError: a box is not on the grid.

    Example:
        >>> render_boxes(np.array([[0, 0, 1, 2]], dtype=np.int32), 2, 2)[0, 0].tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    _check_size(height, width)
    _check_word("box_class", box_class, get_args(BoxClass))
    x0, y0, x1, y1 = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
    on_grid = (x0 >= 0) & (x0 <= x1) & (x1 <= width) & (y0 >= 0) & (y0 <= y1) & (y1 <= height)
    if not on_grid.all():
        row = int(np.argmin(on_grid))
        raise InputError(
            f"Box {row} is x {x0[row]}..{x1[row]}, y {y0[row]}..{y1[row]}, which is not on the grid of "
            f"{height} x {width} cells; boxes need 0 <= x0 <= x1 <= {width} and 0 <= y0 <= y1 <= {height}."
        )
    x, y = np.arange(width), np.arange(height)
    in_x = (x >= x0[:, None]) & (x < x1[:, None])
    in_y = (y >= y0[:, None]) & (y < y1[:, None])
    inside = in_y[:, None, :, None] & in_x[:, None, None, :]
    return torch.as_tensor((inside if box_class == "a" else ~inside).astype(np.float32))


def _truncated(
    length: int, side: NDArray[np.float64], centre: NDArray[np.int64], rounding: Rounding
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    exact = rounding == "exact"
    cut = (np.rint(length * side) if exact else length * side).astype(np.int64)
    low = centre - cut // 2
    high = low + cut if exact else centre + cut // 2
    return low.clip(0, length), high.clip(0, length)


def _inside(
    length: int, side: NDArray[np.float64], uniform: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    cut = np.rint(length * side).astype(np.int64)
    low = (uniform * (length - cut + 1)).astype(np.int64)
    return low, low + cut


def _check_size(height: int, width: int) -> None:
    if not (1 <= height < 2**31 and 1 <= width < 2**31):
        raise InputError(f"The grid is {height} x {width} cells (height x width); each side needs at least 1 cell.")


def _check_word(name: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise InputError(f"{name} is {value!r}; take one of: {', '.join(legal)}.")
