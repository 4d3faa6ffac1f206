"""diffusers' schedulers by name, with their timestep spacing set explicitly."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Literal, TypeAlias

import diffusers

from ..errors import InputError

Scheduler: TypeAlias = Any
"""A diffusers scheduler; its classes share methods, but no type that declares them."""

# name -> (diffusers class, what is set beside the model's own noise schedule)
_ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "sde-dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": False, "clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
}


def resolve_spacing(name: str, spacing: str) -> Literal["linspace", "leading", "trailing"]:
    """``auto`` made concrete: trailing for DDIM (its grid then meets the inversion's), else linspace."""
    if spacing == "auto":
        return "trailing" if name in ("ddim", "DDIMScheduler") else "linspace"
    if spacing not in ("linspace", "leading", "trailing"):
        raise InputError(f"timestep_spacing is {spacing!r}; legal: auto, linspace, leading, trailing.")
    return spacing


def make_scheduler(own: Scheduler, name: str, *, spacing: str = "auto", final_sigma: str = "zero") -> Scheduler:
    """A fresh scheduler of the model's noise schedule and prediction type.

    Args:
        own: the model's own scheduler; its betas and prediction type are kept.
        name: an alias (dpmsolver++, sde-dpmsolver++, ddim, euler, euler-ancestral) or a diffusers class name.
        spacing: auto, linspace, leading or trailing.
        final_sigma: "zero" or "sigma_min", for the schedulers that know the option.

    Raises:
        InputError: no such scheduler, or one that does not fit the model's noise schedule; names those that do.
    """
    class_name, extra = _ALIASES.get(name, (name, {}))
    # diffusers names the classes that share a model's noise schedule
    fitting = {kind.__name__: kind for kind in own.compatibles} | {type(own).__name__: type(own)}
    if class_name not in fitting:
        exists = isinstance(getattr(diffusers, class_name, None), type)
        what = f"does not fit this model's noise schedule ({type(own).__name__})" if exists else "is not known"
        raise InputError(
            f"The scheduler {name!r} {what}; legal: {', '.join(_ALIASES)}, or a class: {', '.join(sorted(fitting))}."
        )
    config = {key: value for key, value in own.config.items() if not key.startswith("_")}
    kind = fitting[class_name]
    expected = inspect.signature(kind.__init__).parameters
    # steps_offset 1 as SD 1.5 has it: it matters for "leading" grids, and diffusers warns of models that lack it
    wanted = config | {"steps_offset": 1} | extra
    wanted |= {"timestep_spacing": resolve_spacing(name, spacing), "final_sigmas_type": final_sigma}
    return kind.from_config({key: value for key, value in wanted.items() if key in expected})


def fresh(scheduler: Scheduler) -> Scheduler:
    """A copy without the state of earlier runs."""
    return copy.deepcopy(scheduler)
