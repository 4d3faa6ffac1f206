"""Two prompts after each other: a suffixed one in the first steps, the plain one after."""

from __future__ import annotations

import math
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from .guider import Conditioning
from .sigmas import falling
from .sockets import CATEGORY

_PERCENTS = ("start_percent", "end_percent", "clip_start_percent", "clip_end_percent")


class TwoStageConditioning(io.ComfyNode):
    """The second half of Diff-II: suffixes give new surroundings, the plain prompt gives the class back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_TwoStageConditioning",
            display_name="Two-Stage Conditioning",
            category=CATEGORY,
            description="A prompt with a suffix for the first steps, the plain prompt for the rest: the surroundings "
            "vary and the class stays. It costs no time, since every step sees one prompt.",
            inputs=[
                io.Conditioning.Input(
                    "suffixed", tooltip='The first steps\' prompt, such as "a photo of a robin bird flying over water".'
                ),
                io.Conditioning.Input("plain", tooltip='The other steps\' prompt, such as "a photo of a robin bird".'),
                io.Sigmas.Input("sigmas", tooltip="The very sigmas that the sampler gets: they say where a step ends."),
                io.Float.Input(
                    "fraction",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.0001,
                    tooltip="Share of the steps that see the suffix, rounded down: 0.3 of 25 is 7. The paper takes 0.3 "
                    "with 5 images per class, 0.1 with 10, and 1 for long tails. Higher: more variety, less faithful.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Needed only where a prompt has a timestep range of its own: the two ranges are then "
                    "intersected on this model's noise levels.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="For the positive of a guider or sampler that gets the same sigmas.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, suffixed: Conditioning, plain: Conditioning, sigmas: Tensor, fraction: float, model: Any = None
    ) -> io.NodeOutput:
        """Give each prompt its steps."""
        levels = falling(sigmas)
        steps = len(levels) - 1
        early = math.floor(fraction * steps + 1e-9)
        if early == 0:
            return io.NodeOutput(plain)
        if early == steps:
            return io.NodeOutput(suffixed)
        # just above the first level of the second stage, so that samplers that look ahead within a step stay in theirs
        border = levels[early] + 1e-3 * (levels[early - 1] - levels[early])
        stages = (("suffixed", suffixed, math.inf, border), ("plain", plain, border, 0.0))
        confined = []
        for name, conditioning, start, end in stages:
            within = [entry for one in conditioning if (entry := _confined(name, one, start, end, model)) is not None]
            if not within:
                raise InputError(
                    f"The {name} conditioning has a timestep range of its own, and nothing of it lies within its "
                    f"{early if name == 'suffixed' else steps - early} of {steps} steps. Widen the range, or change "
                    "the fraction."
                )
            confined += within
        return io.NodeOutput(confined)


def _confined(name: str, entry: list[Any], start: float, end: float, model: Any) -> list[Any] | None:
    """An entry of a conditioning within sigmas from ``start`` down to ``end``; None where nothing of it is left."""
    embedding, options = entry
    own_start, own_end = _own_range(name, options, model)
    start, end = min(start, own_start), max(end, own_end)
    if start < end:
        return None
    kept = {key: value for key, value in options.items() if key not in _PERCENTS}
    # in sigmas, where ComfyUI takes its own percentages to
    return [embedding, {**kept, "timestep_start": start, "timestep_end": end}]


def _own_range(name: str, options: dict[str, Any], model: Any) -> tuple[float, float]:
    """The sigmas of an entry's own range, as ComfyUI's ``calculate_start_end_timesteps`` reads it."""
    start = max(options.get("start_percent", 0.0), options.get("clip_start_percent", 0.0))
    end = min(options.get("end_percent", 1.0), options.get("clip_end_percent", 1.0))
    own_start, own_end = options.get("timestep_start", math.inf), options.get("timestep_end", 0.0)
    if start <= 0 and end >= 1:
        return own_start, own_end
    if model is None:
        raise InputError(
            f"The {name} conditioning has a timestep range of its own ({start:g} to {end:g}); link the model, whose "
            "noise levels tell which steps that means."
        )
    sampling = model.get_model_object("model_sampling")
    if start > 0:
        own_start = float(sampling.percent_to_sigma(start))
    if end < 1:
        own_end = float(sampling.percent_to_sigma(end))
    return own_start, own_end
