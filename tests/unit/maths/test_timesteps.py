"""Timestep grids against diffusers' schedulers."""

import numpy as np
import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from ncm_lib.errors import InputError
from ncm_lib.maths.timesteps import spaced_timesteps

COUNTS = [*range(1, 130), 150, 199, 200, 250, 333, 499, 500, 501, 666, 750, 998, 999]
SCHEDULERS = {
    "solver-linspace": DPMSolverMultistepScheduler(timestep_spacing="linspace"),
    "linspace": DDIMScheduler(timestep_spacing="linspace"),
    "leading": DDIMScheduler(timestep_spacing="leading", steps_offset=1),
    "trailing": DDIMScheduler(timestep_spacing="trailing"),
}


@pytest.mark.parametrize("grid", SCHEDULERS)
def test_timesteps_are_those_of_diffusers(grid):
    for steps in COUNTS:
        SCHEDULERS[grid].set_timesteps(steps)
        expected = SCHEDULERS[grid].timesteps.numpy()
        # 2026-11, diffusers 0.42: "trailing" counts down in floats, and at 61 steps goes one too far, to -1
        expected = expected[expected >= 0]
        found = spaced_timesteps(steps, grid)
        assert np.array_equal(found, expected), f"{grid} differs at {steps} steps: {found} and not {expected}"


@pytest.mark.parametrize("grid", SCHEDULERS)
def test_timesteps_fall_and_stay_in_their_range(grid):
    for levels in (10, 250, 1000):
        for steps in range(1, levels, max(1, levels // 50)):
            found = spaced_timesteps(steps, grid, num_train_timesteps=levels)
            assert found.shape == (steps,)
            assert (np.diff(found) < 0).all()
            assert 0 <= found.min() <= found.max() < levels


@pytest.mark.parametrize("steps", [0, -1, 1000, 2000])
def test_a_number_of_steps_that_cannot_be_is_refused(steps):
    with pytest.raises(InputError, match=rf"{steps} steps were asked for; a model of 1000 noise levels takes 1 to 999"):
        spaced_timesteps(steps, "trailing")
