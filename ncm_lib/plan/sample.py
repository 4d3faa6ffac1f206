"""One planned image, and a table of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..maths.masks import Box
from ..typing import Float64, Int32, Int64


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What one prediction of a step is conditioned on."""

    prompt: str


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
class Noise:
    """Denoising starts from pure Gaussian noise, drawn from the sample's seed."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Everything about image ``index``: a pure function of (resolved config, class list, seed, index)."""

    index: int
    seed: int
    """Below 2**53: exact in JSON, JavaScript and int64."""
    conditions: tuple[Condition, ...]
    label: tuple[ClassWeight, ...]
    mask: BoxMask
    start: Noise = field(default_factory=Noise)


@dataclass(frozen=True, kw_only=True)
class PlanTable:
    """Samples ``index[0]..index[-1]`` as NumPy columns; row ``i`` becomes a ``Sample`` by ``table[i]``.

    ``prompts`` holds each distinct prompt once; ``prompt_ids`` point into it. ``box`` is x0, y0, x1, y1 in latent
    cells, half open; ``inside`` is the condition that owns it.
    """

    index: Int64[np.ndarray, " n"]
    seed: Int64[np.ndarray, " n"]
    prompts: tuple[str, ...]
    prompt_ids: Int32[np.ndarray, "n k"]
    class_ids: Int32[np.ndarray, "n k"]
    weights: Float64[np.ndarray, "n k"]
    box: Int32[np.ndarray, "n 4"]
    inside: int
    grid_height: int
    grid_width: int

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Sample]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Sample:
        """The sample in ``row`` (a position in the table, not the sample's index)."""
        x0, y0, x1, y1 = (int(edge) for edge in self.box[row])
        return Sample(
            index=int(self.index[row]),
            seed=int(self.seed[row]),
            conditions=tuple(Condition(prompt=self.prompts[int(prompt_id)]) for prompt_id in self.prompt_ids[row]),
            label=tuple(
                ClassWeight(class_id=int(class_id), weight=float(weight))
                for class_id, weight in zip(self.class_ids[row], self.weights[row], strict=True)
            ),
            mask=BoxMask(
                box=Box(x0, y0, x1, y1), grid_height=self.grid_height, grid_width=self.grid_width, inside=self.inside
            ),
        )
