"""What a restoration is made with: frozen configs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..maths.schedules import LinearSchedule

TIMESTEPS = LinearSchedule().num_train_timesteps
"""T of the forward process that noises the input."""

_Width = Annotated[int, Field(ge=1, le=4096)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SkipConfig(_Config):
    """The classical hourglass with skip connections (Ulyanov et al., CVPR 2018).

    Example:
        >>> SkipConfig(widths=(16, 32)).skip_channels
        4
    """

    kind: Literal["skip"] = "skip"
    widths: tuple[_Width, ...] = Field(default=(128, 128, 128, 128, 128), min_length=1, max_length=8)
    """Channels per scale, the finest first. Time and memory grow with their squares; scales that would leave less than
    2x2 pixels are left out."""
    skip_channels: int = Field(default=4, ge=0, le=4096)
    """Channels that go straight across each scale. More: detail and noise come sooner. 0: none."""


class UNetConfig(_Config):
    """The small U-Net of the write-up, for any image size: its LayerNorm over (C, H, W) has a scale per channel here.

    Example:
        >>> UNetConfig().widths
        (10, 20, 40)
    """

    kind: Literal["unet"] = "unet"
    widths: tuple[_Width, ...] = Field(default=(10, 20, 40), min_length=1, max_length=8)
    """Channels per scale, the finest first."""


class InputConfig(_Config):
    """What the network is fed with.

    z ~ N(0, I) * scale (gaussian: one draw; fresh: one per iteration), or, with x the image as it came (unknown pixels
    filled), z_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) eta, beta linear 1e-4..0.02 over 1000 steps (ddpm).

    Example:
        >>> InputConfig(kind="ddpm", t=100).t_range
        (100, 100)
    """

    kind: Literal["gaussian", "fresh", "ddpm"] = "gaussian"
    """gaussian: one fixed noise image, as in the paper. fresh: other noise in each iteration. ddpm: the corrupted image
    after t steps of the forward process."""
    channels: int = Field(default=32, ge=1, le=4096)
    """Channels of the noise; ddpm has the image's."""
    distribution: Literal["normal", "uniform"] = "uniform"
    """Of the noise of gaussian and fresh: uniform in [0, scale] as in the paper's code, or N(0, scale^2)."""
    scale: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Size of the noise of gaussian and fresh."""
    perturbation: float = Field(default=1 / 30, ge=0, allow_inf_nan=False)
    """Standard deviation of the noise that is added to the fixed one in each iteration (gaussian only)."""
    t: int | tuple[int, int] = (0, TIMESTEPS - 1)
    """ddpm: the timestep, or the first and last one of a range, from which each iteration draws one."""
    eta: Literal["fresh", "fixed"] = "fresh"
    """ddpm: whether each iteration has noise of its own."""

    @property
    def t_range(self) -> tuple[int, int]:
        """The first and the last timestep."""
        return (self.t, self.t) if isinstance(self.t, int) else self.t

    @model_validator(mode="after")
    def _check_range(self) -> InputConfig:
        first, last = self.t_range
        if not 0 <= first <= last < TIMESTEPS:
            raise ValueError(
                f"t runs from {first} to {last}; timesteps are from 0 to {TIMESTEPS - 1}, the lower one first"
            )
        return self


class StoppingConfig(_Config):
    """When a run ends: the outputs' variance over a window has not come below its minimum for long enough.

    Example:
        >>> StoppingConfig(window=50).patience
        1000

    Reference:
        ES-WMV in Wang et al., Early Stopping for Deep Image Prior, TMLR 2023, arXiv 2112.06074.
    """

    window: int = Field(default=100, ge=2)
    """Outputs in the window."""
    patience: int = Field(default=1000, ge=1)
    """Iterations without a new minimum after which the run ends. Fewer: quicker, and sooner fooled."""
    run_on: bool = False
    """Run all iterations nevertheless, to see what would have come; the result stays the one of the minimum."""


class DipConfig(_Config):
    """Everything about a restoration but the image and its task; the defaults are the paper's.

    Example:
        >>> DipConfig(iterations=500, network=SkipConfig(widths=(16, 32, 64))).learning_rate
        0.01
    """

    network: Annotated[SkipConfig | UNetConfig, Field(discriminator="kind")] = SkipConfig()
    """The network that is trained."""
    input: InputConfig = InputConfig()
    """What it is fed with."""
    loss: Literal["mse", "l1"] = "mse"
    """Squared or absolute differences."""
    learning_rate: float = Field(default=0.01, gt=0, le=1, allow_inf_nan=False)
    """Adam's."""
    iterations: int = Field(default=3000, ge=1)
    """At most; time grows in proportion."""
    average: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the exponential average of the outputs, which is the result. 0: the output itself."""
    stopping: StoppingConfig | None = StoppingConfig()
    """None: all iterations are run, and the result is the last average."""
    keep_known: bool = True
    """inpaint: known pixels are put back into the result. False: all of it comes from the network."""
