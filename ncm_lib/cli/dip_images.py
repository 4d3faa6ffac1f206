"""Image files as tensors for the deep image prior, and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..sources.images import read_image
from ..store.disk import replace_bytes


def load_image(path: Path) -> Tensor:
    """An image file as [1, H, W] where it is gray, else [3, H, W], in [0, 1]; what is transparent becomes white."""
    pixels = np.asarray(read_image(path))
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1).contiguous()


def load_mask(path: Path) -> Tensor:
    """An image file as a mask [H, W]: white is unknown."""
    return load_image(path).mean(0)


def to_picture(image: Tensor) -> Image.Image:
    """[C, H, W] in [0, 1] as an 8-bit picture."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG, whole or not at all."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    replace_bytes(path, file.getvalue())


def unique_names(paths: tuple[Path, ...]) -> list[str]:
    """The files' names without their endings, by which results are called."""
    names = [path.stem for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Several images are called {twice[0]!r}, and so would their results be; run them apart.")
    return names
