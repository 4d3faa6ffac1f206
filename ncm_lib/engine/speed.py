"""Ways to make the same images sooner, or in less memory."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import InputError
from .step_cache import Cache, add_cache

Attention = Literal["auto", "flash", "efficient", "cudnn", "math"]
_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


class Speed(BaseModel):
    """Options for less time or memory; all are off by default, and all but ``cache`` change last bits at most.

    Example:
        >>> Speed(channels_last=True).attention
        'auto'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    compile: bool | str = False
    """Compile the denoiser with torch.compile: the first batch of each shape takes minutes, later ones less time. A
    name is a backend of torch's, True is inductor."""
    channels_last: bool = False
    """Lay the weights of UNet and autoencoder out by pixels, which GPUs with tensor cores read sooner."""
    attention: Attention = "auto"
    """Which of torch's attention kernels runs; auto lets torch choose per call."""
    slice_decoding: bool = False
    """Decode one image at a time: less memory at the end of a batch, a little more time."""
    cache: Cache = "off"
    """Approximate, other images, for SD 3, SD 3.5 and FLUX.1: most steps take parts of the transformer from the steps
    before. taylor and broadcast: the attentions, extrapolated or repeated; taylor-blocks: nearly all, extrapolated."""
    cache_interval: int = Field(default=3, ge=2)
    """With a cache: one step in so many is computed in full, and the first three are. More: less time, and images
    further from those without."""

    @model_validator(mode="after")
    def _together(self) -> Speed:
        if self.cache != "off" and self.compile:
            raise ValueError(
                f"compile is on and cache is {self.cache!r}; the compiler would start anew at every step that a cache "
                "treats in its own way: take one of them."
            )
        return self

    def __str__(self) -> str:
        """What is on, as a data set records it."""
        on = self.model_dump(exclude_defaults=True, exclude={"cache_interval"})
        if self.cache != "off":
            on["cache_interval"] = self.cache_interval
        return ", ".join(name if value is True else f"{name} {value}" for name, value in on.items()) or "plain"


def speed_up(parts: dict[str, Any], speed: Speed, device: torch.device, dtype: torch.dtype) -> None:
    """Set the options on a model's components, which are on their device.

    Raises:
        InputError: the attention kernel does not run on this device in this dtype (those that do are named), or the
            model has nothing to cache.
    """
    denoiser: nn.Module = parts["unet"] if "unet" in parts else parts["transformer"]
    if speed.cache != "off":
        add_cache(denoiser, speed.cache, speed.cache_interval, dtype)
    if speed.attention != "auto":
        _check(speed.attention, device, dtype)
        # hooks and not a changed forward: they follow a copy of the module
        kernel = _Kernel(_BACKENDS[speed.attention])
        denoiser.register_forward_pre_hook(kernel.enter)
        denoiser.register_forward_hook(kernel.leave, always_call=True)
    if speed.channels_last:
        convolutional: list[Any] = [denoiser, parts["vae"]]
        for part in convolutional:
            part.to(memory_format=torch.channels_last)
    if speed.slice_decoding:
        parts["vae"].enable_slicing()
    if speed.compile:
        denoiser.compile(backend=speed.compile if isinstance(speed.compile, str) else "inductor")


class _Kernel:
    """Hooks around a module's call; None as their result leaves its inputs and outputs alone."""

    def __init__(self, backend: SDPBackend) -> None:
        self.backend = backend
        self.entered: list[Any] = []

    def enter(self, *_: Any) -> None:
        """Have torch use the kernel from now on."""
        self.entered.append(sdpa_kernel(self.backend))
        self.entered[-1].__enter__()

    def leave(self, *_: Any) -> None:
        """Have torch choose as before."""
        self.entered.pop().__exit__(None, None, None)


def _check(name: str, device: torch.device, dtype: torch.dtype) -> None:
    if not _runs(name, device, dtype):
        there = [known for known in _BACKENDS if _runs(known, device, dtype)]
        raise InputError(
            f"The attention {name!r} does not run on {device} in {str(dtype).removeprefix('torch.')}; there are: auto, "
            f"{', '.join(there)}."
        )


def _runs(name: str, device: torch.device, dtype: torch.dtype) -> bool:
    query = torch.zeros(1, 1, 16, 64, device=device, dtype=dtype)
    try:
        with sdpa_kernel(_BACKENDS[name]):
            nn.functional.scaled_dot_product_attention(query, query, query)
    except RuntimeError:
        return False
    return True
