"""How a plan is rendered: everything that changes pixels but neither labels nor masks."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Spacing = Literal["auto", "linspace", "leading", "trailing"]


class RenderSettings(BaseModel):
    """Settings of the denoising run; None means the model's own default.

    Example:
        >>> RenderSettings(num_inference_steps=50, scheduler="ddim").guidance_scale is None
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    num_inference_steps: int = Field(default=25, ge=1, le=1000)
    """More steps: cleaner images, time grows in proportion."""
    guidance_scale: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Higher: images closer to the prompt and less varied. 1: no guidance, a third less time."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Approximate, for less time: the part of the steps that is guided, from start to stop; outside of it no row of
    the negative prompt is computed. 0.2 0.8 leaves out the first and the last fifth."""
    scheduler: str = "auto"
    """dpmsolver++, ddim, euler, euler-ancestral, sde-dpmsolver++, lcm (for weights distilled to 4 to 8 steps), or any
    diffusers scheduler class. auto: the method's own (dpmsolver++ for NoiseCutMix, ddim for Diff-II)."""
    timestep_spacing: Spacing = "auto"
    """Where the steps lie. auto: trailing for ddim, else linspace (999, 959, ..., 40 for 25 steps)."""
    final_sigma: Literal["zero", "sigma_min"] = "zero"
    """Noise left after the last step. sigma_min: as the published code did it."""
    negative_prompt: str = ""
    """What the images should not show."""
    height: int | None = Field(default=None, ge=1)
    """Image height in pixels."""
    width: int | None = Field(default=None, ge=1)
    """Image width in pixels."""

    @field_validator("guidance_interval")
    @classmethod
    def _ordered(cls, interval: tuple[float, float]) -> tuple[float, float]:
        start, stop = interval
        if not 0 <= start < stop <= 1:
            raise ValueError(
                f"guidance_interval is {start:g} {stop:g}; legal: two shares of the steps, 0 <= start < stop <= 1, "
                "such as 0.2 0.8."
            )
        return interval


class ResolvedSettings(BaseModel):
    """``RenderSettings`` with every value concrete: what ``dataset.json`` keeps and ``render_hash`` covers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_inference_steps: int
    guidance_scale: float
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    scheduler: str
    timestep_spacing: Literal["linspace", "leading", "trailing"]
    final_sigma: Literal["zero", "sigma_min"]
    negative_prompt: str
    height: int
    width: int
    dtype: str
    speed: str = "plain"
    """The model's ``Speed``: it may change last bits."""


def render_hash(settings: ResolvedSettings, *, fingerprint: str, batch_shape: int, versions: dict[str, str]) -> str:
    """sha256 over all that fixes the bytes of an image beside its plan."""
    content: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "batch_shape": batch_shape,
        "versions": versions,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
