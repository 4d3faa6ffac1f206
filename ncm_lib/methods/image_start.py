"""What the methods share that start from a real image with noise on it (SDEdit)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from ..errors import InputError
from ..maths.rng import uniforms
from ..plan.pool import PoolListing
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..plan.sample import NoisedImages
from ..typing import Float64, Int32, Int64
from .base import Method

Strengths = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...],
    Field(
        min_length=1,
        description="Share of the steps that are run, in (0, 1]; one of them is drawn for each sample. Small: close to "
        "the real image, and quick. Large: closer to the prompt; 1 leaves next to nothing of the image.",
    ),
]

_SHOWN = 5


class ImageStart(Method):
    """A method whose samples start from real images."""

    images: PoolListing
    """Content hashes of the real images by class: ``load_source(...).listing``."""
    strengths: Strengths = (0.5,)
    prompt: str = DEFAULT_TEMPLATE
    """The prompt template, with {class} and {metaclass}."""

    @model_validator(mode="after")
    def _check_images(self) -> ImageStart:
        if len(self.images.images) != len(self.classes):
            raise InputError(
                f"The listing has images of {len(self.images.images)} classes and the class list has "
                f"{len(self.classes)}; list the images with the class list that you generate with."
            )
        class_prompts(self.classes, self.prompt)
        return self

    def config(self) -> dict[str, Any]:
        """The resolved config; of the images, their digest and their counts per class."""
        fields = self.model_dump(mode="json", exclude={"classes", "images"})
        return fields | {"images": self.images.digest(), "image_counts": list(self.images.counts)}

    def _strength_ids(self, start: int, stop: int) -> Int32[np.ndarray, " n"]:
        uniform = uniforms(self.seed, "strength", start, stop, 1)[:, 0]
        return (uniform * len(self.strengths)).astype(np.int32)

    def _starts(
        self, class_ids: Int64[np.ndarray, " n"], place: Int64[np.ndarray, " n"], strength_ids: Int32[np.ndarray, " n"]
    ) -> NoisedImages:
        """Starts from image number ``place`` of each sample's source class."""
        counts = np.asarray(self.images.counts, dtype=np.int64)
        return NoisedImages(
            sources=self.images.contents,
            source_ids=(np.cumsum(counts) - counts)[class_ids] + place,
            strengths=self.strengths,
            strength_ids=strength_ids,
        )

    def _refuse_without_images(self, needed: Float64[np.ndarray, " c"] | Int64[np.ndarray, " c"], remedy: str) -> None:
        """InputError where a class is needed and has no image."""
        empty = [
            name
            for name, count, asked in zip(self.classes.names, self.images.counts, needed, strict=True)
            if asked and not count
        ]
        if empty:
            listed = ", ".join(map(repr, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
            raise InputError(
                f"{len(empty)} of {len(self.classes)} classes have no source image ({listed}), and {self.name} starts "
                f"from one. Give images of them, {remedy}."
            )
