"""The library's timesteps as SIGMAS."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from comfy.model_sampling import ModelSamplingDiscrete
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.timesteps import TimestepGrid, spaced_timesteps
from .sockets import CATEGORY

_LEVELS = 1000
_SCHEDULES: dict[str, TimestepGrid] = {
    "DPM-Solver++ linspace": "solver-linspace",
    "DDIM trailing": "trailing",
    "DDIM leading": "leading",
    "DDIM linspace": "linspace",
}


def falling(sigmas: Tensor) -> list[float]:
    """The values of a SIGMAS, checked.

    Raises:
        InputError: less than two, or not in falling order.
    """
    levels = [float(level) for level in sigmas]
    if len(levels) < 2 or not all(math.inf > one > other >= 0 for one, other in itertools.pairwise(levels)):
        raise InputError(
            f"The SIGMAS have {len(levels)} values and must be two or more that fall, from most noise to least, as "
            "Named Sigmas and BasicScheduler make them. Take Flip Sigmas out of the graph if it is there."
        )
    return levels


class NamedSigmas(io.ComfyNode):
    """Schedules under the names that papers and diffusers give them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_Sigmas",
            display_name="Named Sigmas",
            category=CATEGORY,
            description="The timesteps of a paper's schedule as sigmas. The number of steps costs time in proportion; "
            "where they lie costs nothing.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="Its noise levels are used. It must have 1000 of them (SD 1.5, SD 2, SDXL)."
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(_SCHEDULES),
                    default="DPM-Solver++ linspace",
                    tooltip="DPM-Solver++ linspace: NoiseCutMix's own (999, 959, ..., 40 for 25 steps; take the "
                    "sampler dpmpp_2m). DDIM trailing: 999, 959, ..., 39, which starts where inversions end. DDIM "
                    "leading: 961, 921, ..., 1, as older code has it. DDIM linspace: 999 down to 0.",
                ),
                io.Int.Input(
                    "steps", default=25, min=1, max=999, tooltip="More steps: cleaner images, time grows in proportion."
                ),
                io.Combo.Input(
                    "final_sigma",
                    options=["zero", "sigma_min"],
                    default="zero",
                    tooltip="Noise that is left after the last step. zero: none. sigma_min: a trace (0.03), as the "
                    "published code of NoiseCutMix left it; DDIM linspace refuses it, since its last step is there "
                    "already and would lead nowhere.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(
                    display_name="sigmas", tooltip="steps + 1 values, for SamplerCustomAdvanced and DDIM Inversion."
                )
            ],
        )

    @classmethod
    def execute(cls, model: Any, schedule: str, steps: int, final_sigma: str) -> io.NodeOutput:
        """Look the sigmas of the timesteps up."""
        sampling = model.get_model_object("model_sampling")
        if not isinstance(sampling, ModelSamplingDiscrete) or len(sampling.sigmas) != _LEVELS:
            raise InputError(
                f"Named Sigmas needs a model with {_LEVELS} noise levels (SD 1.5, SD 2, SDXL), and this one has "
                f"{type(sampling).__mro__[1].__name__}. For flow models and distilled ones use BasicScheduler."
            )
        timesteps = spaced_timesteps(steps, _SCHEDULES[schedule], num_train_timesteps=_LEVELS)
        if final_sigma != "zero" and timesteps[-1] == 0:
            raise InputError(
                f"The steps of {schedule} end at sigma_min already, and some samplers cannot step from a sigma to "
                "itself. Set final_sigma to zero."
            )
        table = sampling.sigmas.float().cpu()
        last = torch.zeros(1) if final_sigma == "zero" else table[:1]
        return io.NodeOutput(torch.cat([table[torch.as_tensor(timesteps)], last]))
