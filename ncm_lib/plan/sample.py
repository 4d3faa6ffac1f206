"""One planned image, and a table of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ..maths.interpolation import Arc
from ..maths.masks import Box
from ..typing import Float64, Int32, Int64


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What one prediction of a step is conditioned on: a prompt, or one prompt first and another one after it."""

    prompt: str
    early_prompt: str | None = None
    """Takes the prompt's place in the first steps."""
    early_fraction: float = 0.0
    """Share of the steps, from the noisiest on, that use ``early_prompt``."""


@dataclass(frozen=True, kw_only=True)
class ClassWeight:
    """One class's share of a soft label."""

    class_id: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class BoxMask:
    """A binary mask on the latent grid: condition ``inside`` owns the box, the other condition the rest."""

    box: Box
    grid_height: int
    grid_width: int
    inside: int = 1


@dataclass(frozen=True, kw_only=True)
class FullMask:
    """One condition owns the whole image."""


Mask: TypeAlias = FullMask | BoxMask


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Denoising starts from pure Gaussian noise, drawn from the sample's seed."""


@dataclass(frozen=True, kw_only=True)
class NoisedImage:
    """Denoising starts from a real image with the noise of a later step (SDEdit)."""

    source: str
    """Content hash of the image."""
    strength: float
    """Share of the steps that are run, from the last one back, in (0, 1]; 1 leaves next to nothing of the image."""


@dataclass(frozen=True, kw_only=True)
class CirclePoint:
    """Denoising starts from a point on the circle through two inverted images (Diff-II)."""

    source_a: str
    """Content hash of an image whose inversion is in the pool."""
    source_b: str
    u: float
    """Position on the arc, in [0, 1): the angle itself is in the inversions."""
    arc: Arc
    match_norm: bool = False


Start: TypeAlias = Noise | NoisedImage | CirclePoint


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Everything about image ``index``: a pure function of (resolved config, class list, seed, index)."""

    index: int
    seed: int
    """Below 2**53: exact in JSON, JavaScript and int64."""
    conditions: tuple[Condition, ...]
    label: tuple[ClassWeight, ...]
    mask: Mask
    start: Start = field(default_factory=Noise)


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Masks of n samples: ``box`` is x0, y0, x1, y1 in cells, half open; condition ``inside`` owns it."""

    box: Int32[np.ndarray, "n 4"]
    grid_height: int
    grid_width: int
    inside: int = 1

    def mask(self, row: int) -> BoxMask:
        """The mask of one row."""
        x0, y0, x1, y1 = (int(edge) for edge in self.box[row])
        return BoxMask(
            box=Box(x0, y0, x1, y1), grid_height=self.grid_height, grid_width=self.grid_width, inside=self.inside
        )


@dataclass(frozen=True, kw_only=True)
class EarlyPrompts:
    """Prompts of the first steps of n samples: each distinct one once, and which row has which."""

    prompts: tuple[str, ...]
    prompt_ids: Int32[np.ndarray, " n"]
    fraction: float

    def prompt(self, row: int) -> str:
        """The early prompt of one row."""
        return self.prompts[int(self.prompt_ids[row])]


@dataclass(frozen=True, kw_only=True)
class NoisedImages:
    """Starts of n samples from real images: each distinct image and strength once, and which row has which."""

    sources: tuple[str, ...]
    """Content hashes."""
    source_ids: Int64[np.ndarray, " n"]
    strengths: tuple[float, ...]
    strength_ids: Int32[np.ndarray, " n"]

    def start(self, row: int) -> NoisedImage:
        """The start of one row."""
        return NoisedImage(
            source=self.sources[int(self.source_ids[row])], strength=self.strengths[int(self.strength_ids[row])]
        )


@dataclass(frozen=True, kw_only=True)
class Circles:
    """Starts of n samples: pairs of positions in ``sources`` and the place on the arc; -1 where it is noise."""

    sources: tuple[str, ...]
    """Content hashes."""
    pairs: Int64[np.ndarray, "n 2"]
    u: Float64[np.ndarray, " n"]
    arc: Arc
    match_norm: bool

    def start(self, row: int) -> Start:
        """The start of one row."""
        first, second = (int(place) for place in self.pairs[row])
        if first < 0:
            return Noise()
        return CirclePoint(
            source_a=self.sources[first],
            source_b=self.sources[second],
            u=float(self.u[row]),
            arc=self.arc,
            match_norm=self.match_norm,
        )


@dataclass(frozen=True, kw_only=True)
class PlanTable:
    """Samples ``index[0]..index[-1]`` as NumPy columns; row ``i`` becomes a ``Sample`` by ``table[i]``.

    ``prompts`` holds each distinct prompt once; ``prompt_ids`` point into it. Columns that a method has no use for are
    None.
    """

    index: Int64[np.ndarray, " n"]
    seed: Int64[np.ndarray, " n"]
    prompts: tuple[str, ...]
    prompt_ids: Int32[np.ndarray, "n k"]
    class_ids: Int32[np.ndarray, "n c"]
    weights: Float64[np.ndarray, "n c"]
    boxes: Boxes | None = None
    """None: one condition, which owns the whole image."""
    early: EarlyPrompts | None = None
    circles: Circles | None = None
    images: NoisedImages | None = None
    """Where samples start, one of the two at most; both None: every sample starts from noise."""

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Sample]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Sample:
        """The sample in ``row`` (a position in the table, not the sample's index)."""
        return Sample(
            index=int(self.index[row]),
            seed=int(self.seed[row]),
            conditions=tuple(
                Condition(
                    prompt=self.prompts[int(prompt_id)],
                    early_prompt=None if self.early is None else self.early.prompt(row),
                    early_fraction=0.0 if self.early is None else self.early.fraction,
                )
                for prompt_id in self.prompt_ids[row]
            ),
            label=tuple(
                ClassWeight(class_id=int(class_id), weight=float(weight))
                for class_id, weight in zip(self.class_ids[row], self.weights[row], strict=True)
            ),
            mask=FullMask() if self.boxes is None else self.boxes.mask(row),
            start=self._start(row),
        )

    def _start(self, row: int) -> Start:
        if self.images is not None:
            return self.images.start(row)
        return Noise() if self.circles is None else self.circles.start(row)
