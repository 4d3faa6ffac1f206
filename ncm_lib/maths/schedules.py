"""Noise schedules and the forward process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float, Float64, Int
from .rng import Seeds, row_seeds, sample_noise


@dataclass(frozen=True)
class NoiseSchedule:
    """The amount of noise at each of T timesteps; the two schedules below differ in how beta rises."""

    beta_start: float
    """Variance added by the first step, above 0."""
    beta_end: float
    """Variance added by the last step, below 1."""
    num_train_timesteps: int = 1000
    """T, at least 1."""

    def __post_init__(self) -> None:
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise InputError(
                f"The schedule's betas run from {self.beta_start} to {self.beta_end}; they need "
                "0 < beta_start <= beta_end < 1."
            )
        if self.num_train_timesteps < 1:
            raise InputError(f"num_train_timesteps is {self.num_train_timesteps}; it must be at least 1.")

    @property
    def beta(self) -> Float64[Tensor, " timesteps"]:
        """Variance that each step adds."""
        raise NotImplementedError

    @property
    def alpha_bar(self) -> Float64[Tensor, " timesteps"]:
        """Share of the signal's power that is left at each timestep (diffusers: alphas_cumprod)."""
        # Eq. 4, Ho et al. 2020: alpha_bar_t = prod_s (1 - beta_s)
        return torch.cumprod(1 - self.beta, 0)


@dataclass(frozen=True)
class LinearSchedule(NoiseSchedule):
    """The schedule of DDPM: beta rises linearly (diffusers: "linear").

    beta_t = beta_start + (beta_end - beta_start) * t / (T - 1), t = 0..T-1.

    Example:
        >>> round(float(LinearSchedule().alpha_bar[0]), 9)
        0.9999

    Reference:
        Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02

    @property
    def beta(self) -> Float64[Tensor, " timesteps"]:
        """Variance that each step adds."""
        return torch.linspace(self.beta_start, self.beta_end, self.num_train_timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class ScaledLinearSchedule(NoiseSchedule):
    """The schedule of Stable Diffusion 1.x: the square root of beta rises linearly (diffusers: "scaled_linear").

    beta_t = (sqrt(beta_start) + (sqrt(beta_end) - sqrt(beta_start)) * t / (T - 1))^2, t = 0..T-1.

    Example:
        >>> round(float(ScaledLinearSchedule().alpha_bar[0]), 9)
        0.99915

    Reference:
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012

    @property
    def beta(self) -> Float64[Tensor, " timesteps"]:
        """Variance that each step adds."""
        start, end = self.beta_start**0.5, self.beta_end**0.5
        return torch.linspace(start, end, self.num_train_timesteps, dtype=torch.float64) ** 2


def forward_noise(
    x0: Float[Tensor, " n *dims"],
    t: int | Int[Tensor, " n"],
    *,
    noise: Float[Tensor, " n *dims"] | None = None,
    seed: Seeds | None = None,
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *dims"]:
    """Jump from clean samples to timestep t of the forward process (diffusers: add_noise).

    x_t = sqrt(alpha_bar_t) * x_0 + sqrt(1 - alpha_bar_t) * eta, with eta ~ N(0, I).

    Args:
        x0: clean samples, one per row.
        t: timestep in [0, T): one for all rows, or one per row.
        noise: eta, of x0's shape. Give either this or ``seed``.
        seed: in [0, 2**63): one per row, or one from which the rows' seeds are drawn. A row's noise is
            ``sample_noise`` of its seed, whatever its slot.
        schedule: gives alpha_bar.

    Returns:
        x_t in x0's dtype and on its device. The coefficients are computed in float64.

    Raises:
        InputError: both or neither of noise and seed came, t is off the schedule, or shapes do not fit.

    Example:
        >>> half = torch.full((1, 1), 0.5, dtype=torch.float64)
        >>> x_t = forward_noise(half, 500, noise=torch.ones_like(half), schedule=LinearSchedule())
        >>> round(x_t.item(), 10)
        1.0997744507

    Reference:
        Eq. 4, Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020.
    """
    rows = len(x0)
    if (noise is None) == (seed is None):
        raise InputError("forward_noise needs noise or seed, and only one of them; give the one that you have.")
    if seed is not None:
        seeds = row_seeds(seed, rows)
        noise = torch.stack([sample_noise(row_seed, x0.shape[1:]) for row_seed in seeds]) if rows else x0
    if noise is None or noise.shape != x0.shape:
        raise InputError(f"The noise does not have the shape of x0, {tuple(x0.shape)}; draw it like x0.")
    timesteps = torch.as_tensor(t, device="cpu").reshape(-1)
    if len(timesteps) not in (1, rows):
        raise InputError(f"{len(timesteps)} timesteps came for {rows} samples; give one, or one per sample.")
    alpha_bar = schedule.alpha_bar
    if len(timesteps) and not 0 <= int(timesteps.min()) <= int(timesteps.max()) < len(alpha_bar):
        raise InputError(
            f"t runs from {int(timesteps.min())} to {int(timesteps.max())}; timesteps of this schedule are 0 to "
            f"{len(alpha_bar) - 1}."
        )
    # half precision would lose what is left of the signal at the last timesteps
    dtype = torch.promote_types(x0.dtype, torch.float32)
    left = alpha_bar[timesteps].reshape(-1, *[1] * (x0.ndim - 1))
    signal, spread = (part.sqrt().to(x0.device, dtype) for part in (left, 1 - left))
    # Eq. 4, Ho et al. 2020
    return (signal * x0.to(dtype) + spread * noise.to(x0.device, dtype)).to(x0.dtype)
