"""diffusers' schedulers by name, with their timestep spacing set explicitly."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Literal, TypeAlias

import diffusers
from torch import Tensor

from ..errors import InputError
from ..typing import Float32

Scheduler: TypeAlias = Any
"""A diffusers scheduler; its classes share methods, but no type that declares them."""

# name -> (diffusers class, what is set beside the model's own noise schedule)
_ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "sde-dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": False, "clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    # for weights that were distilled to few steps, such as an LCM-LoRA
    "lcm": ("LCMScheduler", {"clip_sample": False}),
}
LCM_STEPS = 50
"""Steps of the grid that LCM picks its own from (diffusers: original_inference_steps)."""
# the same for flow models, whose noise level is sigma alone
_FLOW_ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "dpmsolver++": (
        "DPMSolverMultistepScheduler",
        _ALIASES["dpmsolver++"][1] | {"prediction_type": "flow_prediction", "use_flow_sigmas": True},
    ),
}
_SPACINGS = ("linspace", "leading", "trailing")


def is_flow(scheduler: Scheduler) -> bool:
    """Whether a scheduler is for flow matching: x_t = (1 - sigma) x0 + sigma noise."""
    return type(scheduler).__name__.startswith("FlowMatch") or bool(scheduler.config.get("use_flow_sigmas"))


def resolve_name(name: str, default: str, own: Scheduler) -> str:
    """``auto`` made concrete: the method's own scheduler; for flow models Euler, which they were published with."""
    if name != "auto":
        return name
    return "euler" if is_flow(own) else default


def resolve_spacing(name: str, spacing: str) -> Literal["linspace", "leading", "trailing"]:
    """``auto`` made concrete: trailing for DDIM (its grid then meets the inversion's), else linspace."""
    if spacing == "auto":
        return "trailing" if name in ("ddim", "DDIMScheduler") else "linspace"
    if spacing not in _SPACINGS:
        raise InputError(f"timestep_spacing is {spacing!r}; legal: auto, linspace, leading, trailing.")
    return spacing


def make_scheduler(own: Scheduler, name: str, *, spacing: str = "auto", final_sigma: str = "zero") -> Scheduler:
    """A fresh scheduler of the model's noise schedule and prediction type.

    Args:
        own: the model's own scheduler; its betas and prediction type, or its shift of sigmas, are kept.
        name: an alias (dpmsolver++, sde-dpmsolver++, ddim, euler, euler-ancestral, lcm; for flow models euler and
            dpmsolver++) or a diffusers class name.
        spacing: auto, linspace, leading or trailing; flow models and lcm have steps of their own.
        final_sigma: "zero" or "sigma_min", for the schedulers that know the option.

    Raises:
        InputError: no such scheduler, or one that does not fit the model's noise schedule; names those that do.
    """
    aliases = _aliases(own)
    class_name, extra = aliases.get(name, (name, {}))
    # diffusers names the classes that share a model's noise schedule, and none for flow models
    fitting = {kind.__name__: kind for kind in own.compatibles} | {type(own).__name__: type(own)}
    if name in aliases:
        fitting[class_name] = getattr(diffusers, class_name)
    if class_name not in fitting:
        exists = isinstance(getattr(diffusers, class_name, None), type)
        what = f"does not fit this model's noise schedule ({type(own).__name__})" if exists else "is not known"
        raise InputError(
            f"The scheduler {name!r} {what}; legal: {', '.join(aliases)}, or a class: {', '.join(sorted(fitting))}."
        )
    if (is_flow(own) or name == "lcm") and (spacing, final_sigma) not in (("auto", "zero"), ("linspace", "zero")):
        raise InputError(
            f"timestep_spacing is {spacing!r} and final_sigma is {final_sigma!r}; "
            f"{'lcm' if name == 'lcm' else 'a flow model'} has its own steps, which end at zero: leave both out."
        )
    resolved = resolve_spacing(name, spacing)
    config = {key: value for key, value in own.config.items() if not key.startswith("_")}
    kind = fitting[class_name]
    expected = inspect.signature(kind.__init__).parameters
    # steps_offset 1 as SD 1.5 has it: it matters for "leading" grids, and diffusers warns of models that lack it
    wanted = config | {"steps_offset": 1, "flow_shift": own.config.get("shift", 1.0)} | extra
    wanted |= {"timestep_spacing": resolved, "final_sigmas_type": final_sigma}
    return kind.from_config({key: value for key, value in wanted.items() if key in expected})


def _aliases(own: Scheduler) -> dict[str, tuple[str, dict[str, Any]]]:
    if not is_flow(own):
        return _ALIASES
    # diffusers' DPM-Solver cannot shift by the image's size (it writes to its frozen config)
    dynamic = own.config.get("use_dynamic_shifting")
    return {name: alias for name, alias in _FLOW_ALIASES.items() if not (dynamic and name == "dpmsolver++")}


def begin(scheduler: Scheduler, first: int) -> None:
    """Make the scheduler start at its timestep number ``first`` without looking it up, which would stall a GPU."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)


def noised(
    scheduler: Scheduler, images: Float32[Tensor, "n c h w"], noise: Float32[Tensor, "n c h w"], first: int
) -> Float32[Tensor, "n c h w"]:
    """Latents of images with the noise of the scheduler's timestep number ``first``.

    x_t = (1 - sigma_t) x0 + sigma_t noise for flow models; else x_t = sqrt(a_t) x0 + sqrt(1 - a_t) noise, or in the
    units of the scheduler that are proportional to it.

    Args:
        scheduler: its timesteps are set, and ``begin`` was called.
        images: latents x0.
        noise: of unit variance.
        first: index of a timestep.

    Reference:
        SDEdit (Meng et al., ICLR 2022).
    """
    if is_flow(scheduler):
        sigma = scheduler.sigmas[first]
        return (1 - sigma) * images + sigma * noise
    return scheduler.add_noise(images, noise, scheduler.timesteps[first : first + 1])


def scaled_noise(scheduler: Scheduler, noise: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
    """Unit-variance noise in the units of the scheduler."""
    return noise if is_flow(scheduler) else noise * scheduler.init_noise_sigma


def scaled_input(scheduler: Scheduler, latents: Float32[Tensor, "n c h w"], timestep: Tensor) -> Tensor:
    """Latents as the model wants to see them."""
    return scheduler.scale_model_input(latents, timestep) if hasattr(scheduler, "scale_model_input") else latents


def fresh(scheduler: Scheduler) -> Scheduler:
    """A copy without the state of earlier runs."""
    return copy.deepcopy(scheduler)
