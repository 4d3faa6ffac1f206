"""From images to a finished model: autoencoder, cached latents, denoiser, export. Each is done once and continued."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autoencoder
import denoiser
import export
import numpy as np
import tokenizer
import torch
from checkpoint import same_work
from diffusers import AutoencoderKL
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a small model."""

    autoencoder: autoencoder.Settings
    denoiser: denoiser.Settings
    guidance_scale: float


def train(
    images: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    recipe: Recipe,
    *,
    work: Path,
    out: Path,
    seconds: float,
    device: str = "cpu",
    compile_unet: bool = False,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    unfinished: bool = False,
) -> int:
    """The exit code: 0 when the model is in ``out``, 3 when ``seconds`` ran out first.

    Args:
        images: uint8, gray [N, h, w] or RGB [N, h, w, 3].
        labels: positions in ``classes`` [N].
        classes: the nouns of the prompts.
        recipe: the settings.
        work: folder of checkpoints and logs.
        out: folder of the finished model.
        seconds: stop after this time; the same call continues.
        device: where to compute.
        compile_unet: with torch.compile.
        perceptual: LPIPS, where the autoencoder's loss has it.
        unfinished: train the denoiser no further and export its averaged weights as they are.
    """
    deadline = time.monotonic() + seconds
    # the number of the denoiser's steps may change: its schedule is constant until the decay at its end
    fixed = dataclasses.asdict(recipe) | {"classes": list(classes), "images": list(images.shape)}
    fixed["denoiser"].pop("steps")
    same_work(work, fixed)
    vae: Any = autoencoder.train(
        images, recipe.autoencoder, work, seconds=seconds, device=device, perceptual=perceptual
    )
    if vae is None:
        return _continue_later("autoencoder")
    mean, std = _latents(vae, images, recipe.autoencoder, work / "latents.pt")
    prompts = [template.format(name) for name in classes for template in recipe.denoiser.templates]
    words = tokenizer.build(prompts, work / "tokenizer")
    model = denoiser.train(
        mean,
        std,
        vae.config.scaling_factor,
        torch.from_numpy(labels).long(),
        classes,
        words,
        recipe.denoiser,
        work,
        seconds=deadline - time.monotonic(),
        device=device,
        compile_unet=compile_unet,
        unfinished=unfinished,
    )
    if model is None:
        return _continue_later("denoiser")
    export.write(out, vae.cpu(), model.cpu(), words, classes, recipe.guidance_scale)
    print(f"The model is in {out}")
    return 0


def _latents(vae: AutoencoderKL, images: np.ndarray, settings: autoencoder.Settings, file: Path) -> list[Tensor]:
    if not file.is_file():
        temporary = file.with_suffix(".tmp")
        torch.save(list(autoencoder.encode(vae, images, settings)), temporary)
        temporary.replace(file)
    return torch.load(file, weights_only=True)


def _continue_later(part: str) -> int:
    print(f"Time is up while training the {part}. Run the same command again to continue.")
    return 3
