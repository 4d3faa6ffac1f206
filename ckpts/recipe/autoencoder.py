"""The demo model's autoencoder: 32x32 RGB images <-> 16x16x4 latents (diffusers ``AutoencoderKL``)."""

import time
from pathlib import Path

import numpy as np
import torch
from checkpoint import Checkpoint
from diffusers import AutoencoderKL
from torch import Tensor

STEPS = 1000
BATCH = 32
KL_WEIGHT = 1e-3


def build() -> AutoencoderKL:
    """Every width is a multiple of 32, so that ComfyUI's own GroupNorm(32) layers can hold the weights."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=32,
        scaling_factor=1.0,
    )


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8 ``[N, 32, 32]`` -> float32 ``[N, 3, 32, 32]`` in [-1, 1]."""
    pixels = torch.from_numpy(images).float().div_(127.5).sub_(1.0)
    return pixels[:, None].expand(-1, 3, -1, -1)


def train(images: np.ndarray, work: Path, *, seconds: float) -> AutoencoderKL | None:
    """Train to ``STEPS``; None when ``seconds`` ran out first (the checkpoint in ``work`` continues it)."""
    torch.manual_seed(0)
    vae = build()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=STEPS, pct_start=0.1)
    checkpoint = Checkpoint(work / "autoencoder.pt", {"model": vae, "optimizer": optimizer, "schedule": schedule})
    step, started = checkpoint.load(), time.monotonic()
    while step < STEPS:
        rng = torch.Generator().manual_seed(step)
        rows = torch.randint(len(images), (BATCH,), generator=rng).numpy()
        pixels = to_pixels(images[rows])
        posterior = vae.encode(pixels).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        error = decoded - pixels
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
        loss = error.abs().mean() + error.square().mean() + KL_WEIGHT * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 100 == 0:
            psnr = -10 * torch.log10(error.detach().square().mean() / 4)
            print(f"autoencoder step {step} loss {loss.item():.4f} psnr {psnr:.2f} dB kl {kl.item():.3f}", flush=True)
        if step % 200 == 0 or time.monotonic() - started > seconds:
            checkpoint.save(step)
        if time.monotonic() - started > seconds:
            return None
    vae.register_to_config(scaling_factor=_scaling_factor(vae, images))
    return vae.eval()


@torch.inference_mode()
def encode(vae: AutoencoderKL, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of every image, each float32 ``[N, 4, 16, 16]``."""
    parts = [vae.encode(to_pixels(images[i : i + 250])).latent_dist for i in range(0, len(images), 250)]
    return torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])


def _scaling_factor(vae: AutoencoderKL, images: np.ndarray) -> float:
    mean, std = encode(vae, images[:: len(images) // 2000])
    return float(1.0 / (mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))).std())
