"""The pictures of a classifier training, real and synthetic under one numbering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..metrics.preparation import Preparation
from ..sources.listing import SourceListing
from ..typing import Float32, UInt8
from .classifier_schedule import BatchPlan, Schedule, Slots
from .mixing import Mix
from .synthetic import SyntheticSet

CACHE_BYTES = 1 << 30
"""Scaled pictures that are kept in memory, per process."""


@dataclass(kw_only=True)
class Pictures:
    """Reads pictures by number, brought to the classifier's size; small data sets are read once."""

    real: SourceListing
    synthetic: Sequence[SyntheticSet]
    preparation: Preparation
    _kept: dict[int, np.ndarray] = field(default_factory=dict, init=False)
    _bytes: int = field(default=0, init=False)

    def picture(self, item: int) -> UInt8[np.ndarray, "3 h w"]:
        """The picture ``item``, not yet cropped."""
        if item in self._kept:
            return self._kept[item]
        pixels = self.preparation.scaled(self._read(item))
        if self._bytes + pixels.nbytes <= CACHE_BYTES:
            self._kept[item] = pixels
            self._bytes += pixels.nbytes
        return pixels

    def _read(self, item: int) -> Image.Image:
        if item < len(self.real):
            return self.real.read(item)
        place = item - len(self.real)
        for one in self.synthetic:
            if place < len(one):
                return one.data[place][0]
            place -= len(one)
        raise IndexError(item)


def centred(images: SourceListing, preparation: Preparation) -> Iterator[UInt8[np.ndarray, "3 side side"]]:
    """Every picture's centre, as validation and test see it."""
    return (preparation.cropped(preparation.scaled(images.read(row))) for row in range(len(images)))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's pixels and labels, not yet mixed."""

    pixels: UInt8[Tensor, "n 3 side side"]
    labels: Float32[Tensor, "n classes"]
    partner_pixels: UInt8[Tensor, "n 3 side side"] | None = None
    partner_labels: Float32[Tensor, "n classes"] | None = None
    mix: Mix | None = None
    rows: int = 0
    """In the whole batch, where several processes share it; some of its images may then be there twice."""


class Steps(Dataset[Batch]):
    """The batches of a training by step number, for a DataLoader: what is read does not depend on who reads it.

    Args:
        pictures: to read from.
        schedule: says which.
        rank: of this process.
        world: how many processes share each batch.
    """

    def __init__(self, pictures: Pictures, schedule: Schedule, *, rank: int = 0, world: int = 1) -> None:
        self._pictures = pictures
        self._schedule = schedule
        self._rank = rank
        self._world = world

    def __len__(self) -> int:
        return self._schedule.steps

    def __getitem__(self, step: int) -> Batch:
        plan: BatchPlan = self._schedule.batch(step)
        # every process gets as many rows, and two at least, which statistics need
        rows = len(plan.slots.items)
        if self._world > 1:
            rows = max(-(-rows // self._world), 2) * self._world
        own = np.arange(self._rank, rows, self._world, dtype=np.int64) % len(plan.slots.items)
        pixels, labels = self._read(plan.slots.take(own))
        if plan.partners is None:
            return Batch(pixels=pixels, labels=labels, rows=rows)
        partners, partner_labels = self._read(plan.partners.take(own))
        return Batch(
            pixels=pixels,
            labels=labels,
            partner_pixels=partners,
            partner_labels=partner_labels,
            mix=plan.mix,
            rows=rows,
        )

    def _read(self, slots: Slots) -> tuple[Tensor, Tensor]:
        config, cropped = self._schedule.config, self._pictures.preparation.cropped
        pictures = []
        for item, (flip, left, top) in zip(slots.items, slots.draws, strict=True):
            place = (float(left), float(top)) if config.crop == "random" else (0.5, 0.5)
            pixels = cropped(self._pictures.picture(int(item)), *place)
            pictures.append(pixels[:, :, ::-1] if config.flip and flip < 0.5 else pixels)
        return torch.from_numpy(np.stack(pictures)), torch.from_numpy(self._schedule.labels[slots.items])
