"""The small models' autoencoder: RGB images <-> 16x16x4 latents (diffusers ``AutoencoderKL``)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint import Checkpoint
from diffusers import AutoencoderKL
from torch import Tensor

KL_WEIGHT = 1e-3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes one autoencoder and not another."""

    size: int
    """Side of the images in pixels."""
    widths: tuple[int, ...]
    """Channels per level; every level but the first halves the side."""
    steps: int
    batch: int
    peak_lr: float
    perceptual_weight: float = 0.0
    """Of LPIPS; 0 does without it."""
    bfloat16: bool = False
    """Compute in bfloat16 where torch's autocast does; the weights stay in float32."""


def build(settings: Settings) -> AutoencoderKL:
    """Every width is a multiple of 32, so that ComfyUI's own GroupNorm(32) layers can hold the weights."""
    levels = len(settings.widths)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=settings.size,
        scaling_factor=1.0,
    )


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8, gray ``[N, h, w]`` or RGB ``[N, h, w, 3]`` -> float32 ``[N, 3, h, w]`` in [-1, 1]."""
    pixels = torch.tensor(images).float().div_(127.5).sub_(1.0)
    return pixels[:, None].expand(-1, 3, -1, -1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def train(
    images: np.ndarray,
    settings: Settings,
    work: Path,
    *,
    seconds: float,
    device: str = "cpu",
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> AutoencoderKL | None:
    """Train to the last step; None when ``seconds`` ran out first (the checkpoint in ``work`` continues it)."""
    if settings.perceptual_weight and perceptual is None:
        raise SystemExit("LPIPS is a part of this recipe's loss: name its weights with --lpips")
    torch.manual_seed(0)
    vae: Any = build(settings).to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.peak_lr, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.peak_lr, total_steps=settings.steps, pct_start=0.1
    )
    checkpoint = Checkpoint(work / "autoencoder.pt", {"model": vae, "optimizer": optimizer, "schedule": schedule})
    step, started = checkpoint.load(), time.monotonic()
    while step < settings.steps:
        rng = torch.Generator().manual_seed(step)
        rows = torch.randint(len(images), (settings.batch,), generator=rng).numpy()
        pixels = to_pixels(images[rows]).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=settings.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=rng).to(device)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        error = decoded - pixels
        lpips = perceptual(decoded, pixels) if perceptual else torch.zeros((), device=device)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        loss = error.abs().mean() + error.square().mean() + settings.perceptual_weight * lpips + KL_WEIGHT * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 50 == 0:
            psnr = -10 * torch.log10(error.detach().square().mean() / 4)
            print(
                f"autoencoder step {step} loss {loss.item():.4f} psnr {psnr:.2f} dB lpips {lpips.item():.4f} "
                f"kl {kl.item():.3f} seconds {time.monotonic() - started:.0f}",
                flush=True,
            )
        out_of_time = time.monotonic() - started > seconds
        if checkpoint.due() or step == settings.steps or out_of_time:
            checkpoint.save(step)
        if out_of_time and step < settings.steps:
            return None
    vae.register_to_config(scaling_factor=_scaling_factor(vae, images, settings))
    return vae.eval()


@torch.inference_mode()
def encode(vae: AutoencoderKL, images: np.ndarray, settings: Settings) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of every image, each float16 ``[N, 4, 16, 16]`` on the CPU."""
    parts = []
    for start in range(0, len(images), 32):
        pixels = to_pixels(images[start : start + 32]).to(vae.device)
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=settings.bfloat16):
            posterior = vae.encode(pixels).latent_dist
        parts.append((posterior.mean.cpu().half(), posterior.std.cpu().half()))
    mean, std = zip(*parts, strict=True)
    return torch.cat(mean), torch.cat(std)


def _scaling_factor(vae: AutoencoderKL, images: np.ndarray, settings: Settings) -> float:
    mean, std = (part.float() for part in encode(vae, images[:: max(len(images) // 2000, 1)], settings))
    return float(1.0 / (mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))).std())
