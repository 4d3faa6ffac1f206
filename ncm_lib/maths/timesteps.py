"""The timesteps of a denoising run: which of the T noise levels of training it visits."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import InputError
from ..typing import Int64

TimestepGrid = Literal["solver-linspace", "linspace", "leading", "trailing"]


def spaced_timesteps(steps: int, grid: TimestepGrid, *, num_train_timesteps: int = 1000) -> Int64[np.ndarray, " steps"]:
    """Place the timesteps of a run as diffusers' schedulers do.

    With N steps of T levels, in falling order:
    solver-linspace: round(linspace(0, T-1, N+1)) without its zero (DPM-Solver++; 999, 959, ..., 40 for 25 steps);
    linspace: round(linspace(0, T-1, N)), which ends at 0 (DDIM and Euler with "linspace");
    leading: i * (T // N) + 1 for i = N-1..0 (steps_offset 1, as SD 1.5 has it; 961, 921, ..., 1 for 25 steps);
    trailing: round(T, T - T/N, ...) - 1 (999, 959, ..., 39 for 25 steps), whose first step is the noisiest level.

    Args:
        steps: N, from 1 to T - 1.
        grid: one of the four.
        num_train_timesteps: T.

    Returns:
        N timesteps in [0, T), in falling order.

    Raises:
        InputError: steps is out of its range, or there is no such grid.

    Example:
        >>> spaced_timesteps(4, "trailing").tolist()
        [999, 749, 499, 249]

    Reference:
        Lin et al., Common Diffusion Noise Schedules and Sample Steps Are Flawed, WACV 2024, Table 2.
    """
    last = num_train_timesteps
    if not 1 <= steps < last:
        raise InputError(f"{steps} steps were asked for; a model of {last} noise levels takes 1 to {last - 1}.")
    if grid == "solver-linspace":
        values = np.linspace(0, last - 1, steps + 1).round()[:0:-1]
    elif grid == "linspace":
        values = np.linspace(0, last - 1, steps).round()[::-1]
    elif grid == "leading":
        values = np.arange(steps)[::-1] * (last // steps) + 1
    elif grid == "trailing":
        # arange over floats may go one step too far
        values = np.round(np.arange(last, 0, -last / steps))[:steps] - 1
    else:
        raise InputError(
            f"The timestep grid {grid!r} is not known; legal: solver-linspace, linspace, leading, trailing."
        )
    return values.astype(np.int64)
