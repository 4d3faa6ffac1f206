"""diffusers' caches on transformers: what one step computed stands in for what the next ones would."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
from torch import nn

from ..errors import InputError

Cache = Literal["off", "taylor", "taylor-blocks", "broadcast"]
FULL_STEPS = 3
"""How many steps are computed in full before the first one is left out."""


def add_cache(denoiser: nn.Module, cache: Cache, interval: int, dtype: torch.dtype) -> None:
    """Have a transformer leave out parts of most steps.

    These are the caches of diffusers whose choice depends on the number of the step alone. Those that look at what is
    computed (FirstBlockCache, SeaCache) decide for a batch as a whole, so that an image would depend on its neighbours
    and could not be made again without them, and each decision waits for the device. MagCache needs ratios that are
    measured per checkpoint; FasterCache takes a batch for two halves, and ours has a part per condition.

    Args:
        denoiser: a model's; changed in place.
        cache: taylor extrapolates the attentions' outputs (TaylorSeer), taylor-blocks the last layer's and leaves the
            blocks before it out, broadcast repeats the attentions' outputs (pyramid attention broadcast).
        interval: one full step in so many.
        dtype: of what is kept.

    Raises:
        InputError: the model is a UNet.

    Reference:
        TaylorSeer (Liu et al., ICCV 2025), PAB (Zhao et al., ICLR 2025).
    """
    from diffusers import hooks

    blocks = _blocks(denoiser)
    if not blocks:
        raise InputError(
            f"cache is {cache!r}; it leaves out parts of a transformer, and this model's denoiser is a UNet: leave it "
            "out (SD 3, SD 3.5 and FLUX.1 have one)."
        )
    steps = _steps()
    if cache == "broadcast":
        hooks.apply_pyramid_attention_broadcast(
            denoiser,
            hooks.PyramidAttentionBroadcastConfig(
                spatial_attention_block_skip_range=interval,
                # steps in the place of timesteps, which are on the device
                spatial_attention_timestep_skip_range=(FULL_STEPS - 1, 10**6),
                current_timestep_callback=lambda: steps.done,
            ),
        )
    else:
        whole = cache == "taylor-blocks"
        hooks.apply_taylorseer_cache(
            denoiser,
            hooks.TaylorSeerCacheConfig(
                cache_interval=interval,
                disable_cache_before_step=FULL_STEPS,
                taylor_factors_dtype=dtype,
                # None: the attentions
                cache_identifiers=["proj_out"] if whole else None,
                skip_predict_identifiers=[re.escape(name) for name in blocks] if whole else None,
            ),
        )
    hooks.HookRegistry.check_if_exists_or_initialize(denoiser).register_hook(steps, "ncm_steps")


def forget(denoiser: nn.Module) -> None:
    """Drop what the denoiser keeps of earlier steps, if it keeps anything."""
    from diffusers.hooks import HookRegistry

    HookRegistry.check_if_exists_or_initialize(denoiser).reset_stateful_hooks()


def _blocks(denoiser: nn.Module) -> list[str]:
    """The names of a transformer's blocks; those that give no text back cannot be left out."""
    lists = {name: part for name, part in denoiser.named_children() if name.endswith("transformer_blocks")}
    return [
        f"{name}.{number}"
        for name, part in lists.items()
        for number, block in enumerate(part.children())
        if not getattr(block, "context_pre_only", False)
    ]


def _steps() -> Any:
    from diffusers import CacheMixin
    from diffusers.hooks import ModelHook

    class Steps(ModelHook):
        """Around a transformer: counts its calls, and tells the other hooks that all of them are one run."""

        _is_stateful = True

        def __init__(self) -> None:
            super().__init__()
            self.done = 0

        def new_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
            forward: Any = self.fn_ref.original_forward
            # SD 3's transformer has no method of that name
            with CacheMixin.cache_context(module, "run"):
                output = forward(*args, **kwargs)
            self.done += 1
            return output

        def reset_state(self, module: Any) -> Any:
            self.done = 0
            return module

    return Steps()
