"""Real images as noised latents, ready to be learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..maths.rng import normals
from ..sources.listing import SourceListing
from ..typing import Float32, Float64
from .concepts_config import ConceptTraining
from .concepts_sampler import Draws

CACHE_BYTES = 2 << 30


@dataclass(kw_only=True)
class LatentSource:
    """Looks images up, crops, flips and encodes them; the autoencoder sees one image at a time.

    So an image's latents have the same bits whatever stands beside it in the batch, whether they come from memory or
    are computed, and whether a training was resumed.
    """

    images: SourceListing
    vae: Any
    device: torch.device
    resolution: int
    config: ConceptTraining
    _cache: dict[tuple[int, bool], Tensor] = field(default_factory=dict, init=False)
    _cached_bytes: int = field(default=0, init=False)

    @torch.no_grad()
    def latents(self, draws: Draws) -> Float32[Tensor, "n c h w"]:
        """Scaled samples of the autoencoder's posterior, one per draw."""
        parts: list[Tensor] = []
        for row, flipped, crop, seed in zip(draws.rows, draws.flips, draws.crops, draws.seeds, strict=True):
            mean, std = self._posterior(int(row), bool(flipped) and self.config.flip, crop).to(self.device)
            noise = torch.as_tensor(normals(int(seed), "posterior", mean.numel()), dtype=torch.float32)
            parts.append(mean + std * noise.reshape(mean.shape).to(self.device))
        return torch.stack(parts) * self.vae.config.scaling_factor

    def _posterior(self, row: int, flipped: bool, crop: Float64[np.ndarray, " 3"]) -> Tensor:
        """Mean and standard deviation [2, c, h, w] of an image's latent, float32 on the CPU where it is kept."""
        if (row, flipped) in self._cache:
            return self._cache[row, flipped]
        image = self.images.read(row)
        picture = cropped(image, self.resolution, self._square(image, crop))
        if flipped:
            picture = ImageOps.mirror(picture)
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        posterior = self.vae.encode(pixels.to(self.device, self.vae.dtype), return_dict=False)[0]
        both = torch.cat([posterior.mean, posterior.std]).float()
        size = both.numel() * both.element_size()
        if self.config.cache_latents and self.config.crop == "center" and self._cached_bytes + size <= CACHE_BYTES:
            self._cache[row, flipped] = both.cpu()
            self._cached_bytes += size
        return both

    def _square(self, image: Image.Image, crop: Float64[np.ndarray, " 3"]) -> tuple[float, float, float]:
        width, height = image.size
        if self.config.crop == "center":
            side = float(min(width, height))
            return (width - side) / 2, (height - side) / 2, side
        smallest = self.config.crop_scale
        side = max(1.0, min(width, height) * float(smallest + (1 - smallest) * crop[0]))
        return float(crop[1]) * (width - side), float(crop[2]) * (height - side), side


def cropped(image: Image.Image, resolution: int, square: tuple[float, float, float]) -> Image.Image:
    """The square (left, top, side) of an image, in pixels and parts of them, at ``resolution``.

    Example:
        >>> cropped(Image.new("RGB", (30, 20)), 16, (5.0, 0.0, 20.0)).size
        (16, 16)
    """
    left, top, side = square
    # a sum of floats may reach past the image by its last bit, which Pillow refuses
    box = (left, top, min(left + side, image.width), min(top + side, image.height))
    return image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box)
