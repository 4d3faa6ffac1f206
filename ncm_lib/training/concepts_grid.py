"""What the classes look like at a step of their training."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from ..engine.conditioning import stack
from ..engine.denoise import denoise
from ..engine.load import Model
from ..engine.schedulers import make_scheduler
from ..maths.rng import sample_noise, sample_seeds
from ..plan.classes import ClassList
from ..store.disk import replace_bytes
from .concepts_config import ConceptTraining
from .concepts_learner import Learner

FOLDER = "samples"
_STEPS = 25
_ROWS_PER_CALL = 8
_SMALLEST, _GAP, _MARGIN = 96, 4, 8


@torch.no_grad()
def write_grid(
    folder: Path, step: int, *, model: Model, classes: ClassList, learner: Learner, config: ConceptTraining, side: int
) -> Path:
    """Generate images of the first classes and write them as ``samples/STEP.png``, a row per class.

    The noise is the same at every step of the training, so that grids can be compared. 25 steps of DPM-Solver++, at
    the model's own guidance.

    Args:
        folder: of the training.
        step: for the name.
        model: with the learner's words and LoRA in it.
        classes: for the captions.
        learner: knows the prompts.
        config: how many classes and images.
        side: of the images, in pixels.
    """
    rows, columns = min(len(classes), config.validation_classes), config.validation_images
    images = [
        _images(model, learner, class_id, columns, config.seed, side).permute(0, 2, 3, 1).mul(255).round().byte()
        for class_id in range(rows)
    ]
    times = max(1, math.ceil(_SMALLEST / side))
    cell, size = side * times, max(13, side * times // 12)
    font = ImageFont.load_default(size=size)
    caption = round(1.5 * size)
    whole = Image.new(
        "RGB",
        (columns * (cell + _GAP) - _GAP + 2 * _MARGIN, rows * (cell + caption + _GAP) + 2 * _MARGIN),
        "white",
    )
    draw = ImageDraw.Draw(whole)
    for row, line in enumerate(images):
        top = _MARGIN + row * (cell + caption + _GAP)
        draw.text((_MARGIN, top), classes.names[row], "black", font)
        for column, pixels in enumerate(line):
            picture = Image.fromarray(pixels.cpu().numpy()).resize((cell, cell), Image.Resampling.NEAREST)
            whole.paste(picture, (_MARGIN + column * (cell + _GAP), top + caption))
    buffer = io.BytesIO()
    whole.save(buffer, "PNG")
    path = folder / FOLDER / f"{step:08d}.png"
    path.parent.mkdir(exist_ok=True)
    replace_bytes(path, buffer.getvalue())
    return path


def _images(model: Model, learner: Learner, class_id: int, count: int, seed: int, side: int) -> torch.Tensor:
    """Images [n, 3, side, side] of a class, in [0, 1]; NaN, which a model may make, is black."""
    family = model.family
    scale = model.defaults.guidance_scale
    shape = (family.latent_channels, side // family.latent_cell, side // family.latent_cell)
    # the classes' noise differs
    seeds = [int(value) for value in sample_seeds(seed, class_id * 2**20, class_id * 2**20 + count)]
    parts: list[torch.Tensor] = []
    for start in range(0, count, _ROWS_PER_CALL):
        own = seeds[start : start + _ROWS_PER_CALL]
        conditions = learner.denoiser.family.read([ids[[class_id] * len(own)] for ids in learner.ids])
        latents = denoise(
            family,
            make_scheduler(family.scheduler, "dpmsolver++"),
            torch.stack([sample_noise(value, shape) for value in own]).to(model.device),
            [conditions],
            [torch.ones(len(own), 1, *shape[1:], device=model.device)],
            unconditional=stack([family.encode_negative("")] * len(own)) if scale != 1 else None,
            guidance_scale=scale,
            num_inference_steps=_STEPS,
            generators=[torch.Generator().manual_seed(value % 2**63) for value in own],
        )
        parts.append(family.decode(latents).nan_to_num(0.0))
    return torch.cat(parts)
