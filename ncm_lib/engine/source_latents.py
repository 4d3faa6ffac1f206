"""Real images as the latents that denoising starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..plan.sample import NoisedImage, Sample
from ..typing import Float32
from .families import Family
from .fitted import fitted
from .starts import NO_IMAGES, RealImage


def source_latents(
    samples: Sequence[Sample], family: Family, real_image: RealImage | None, size: tuple[int, int]
) -> Float32[Tensor, "n c h w"] | None:
    """The latents of the real images that samples start from; None where they start from none.

    Args:
        samples: which all start from an image, or all do not.
        family: encodes.
        real_image: looks images up; they are scaled and cut to ``size``.
        size: height and width in pixels.

    Raises:
        InputError: the samples need images that are not to be had, or one that cannot be read.
    """
    sources = [sample.start.source for sample in samples if isinstance(sample.start, NoisedImage)]
    if not sources:
        return None
    if real_image is None:
        raise InputError(NO_IMAGES)
    pixels = {source: fitted(real_image(source), size) for source in dict.fromkeys(sources)}
    with torch.inference_mode():
        return family.encode_images(torch.stack([pixels[source] for source in sources]))
