"""Which image stands at which place of a classifier training: a pure function of the seed and the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..maths.rng import keyed_permutation, uniforms
from ..typing import Float32, Float64, Int64
from .classifier_config import ClassifierTraining
from .mixing import Mix, draw_mix, mix_numbers


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Images of a batch and how each is cut out."""

    items: Int64[np.ndarray, " n"]
    """Real images are 0..R-1, synthetic ones follow."""
    draws: Float64[np.ndarray, "n 3"]
    """Flip, left and top, each in [0, 1)."""

    def take(self, rows: Int64[np.ndarray, " m"]) -> Slots:
        """Some of them."""
        return Slots(items=self.items[rows], draws=self.draws[rows])


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """One step: its images, and what they are mixed with."""

    slots: Slots
    partners: Slots | None
    mix: Mix | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps of a training.

    ``add``: an epoch shows every image once. ``replace``: an epoch shows every real image once, or in its place a
    synthetic one; where the class that was drawn has no synthetic image, the real image stays, with its own label.
    """

    real: int
    labels: Float32[np.ndarray, "items classes"]
    """Of all images, the real ones first."""
    config: ClassifierTraining
    """Settled."""

    @property
    def size(self) -> int:
        """Places in an epoch."""
        return len(self.labels) if self.config.use == "add" else self.real

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; a last batch of a single image joins the one before it, since statistics need two."""
        full, rest = divmod(self.size, self.config.batch_size)
        return max(full + (rest > 1), 1)

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.config.epochs * self.steps_per_epoch

    def batch(self, step: int) -> BatchPlan:
        """The plan of a step, whatever was asked for before."""
        epoch, number = divmod(step, self.steps_per_epoch)
        start = number * self.config.batch_size
        stop = self.size if number == self.steps_per_epoch - 1 else start + self.config.batch_size
        places = epoch * self.size + np.arange(start, stop, dtype=np.int64)
        slots = Slots(items=self._items(epoch, start, stop), draws=self._draws("classifier crop", places))
        return self._mixed(slots, epoch, step)

    def _items(self, epoch: int, start: int, stop: int) -> Int64[np.ndarray, " n"]:
        seed = self.config.seed
        position = np.arange(start, stop, dtype=np.int64)
        order = keyed_permutation(
            position, self.size, seed, "classifier order", np.full(len(position), epoch, dtype=np.int64)
        )
        if self.config.use == "add" or self.real == len(self.labels):
            return order
        numbers = self._draws("classifier replace", epoch * self.size + position)
        items = order.copy()
        for row in np.flatnonzero(numbers[:, 0] < self.config.replace_probability):
            candidates = self._candidates(int(order[row]), float(numbers[row, 2]))
            if len(candidates):
                items[row] = candidates[int(numbers[row, 1] * len(candidates))]
        return items

    def _candidates(self, real: int, draw: float) -> Int64[np.ndarray, " m"]:
        """Which synthetic images may stand in for a real one."""
        synthetic = np.arange(self.real, len(self.labels), dtype=np.int64)
        if self.config.replace_by == "any":
            return synthetic
        hard = self.labels.argmax(axis=1)
        class_id = int(hard[real])
        if self.config.replace_by == "rare":
            # Diff-II, long tail: a class is drawn with weight 1 / (n_c + 1)
            weights = 1 / (np.bincount(hard[: self.real], minlength=self.labels.shape[1]) + 1)
            class_id = int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="right"))
        return synthetic[hard[self.real :] == class_id]

    def _draws(self, purpose: str, places: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
        return uniforms(self.config.seed, purpose, int(places[0]), int(places[-1]) + 1, 3)

    def _mixed(self, slots: Slots, epoch: int, step: int) -> BatchPlan:
        kind, margin = self.config.pixel, self.config.cmo_margin
        numbers = mix_numbers(self.config.seed, step)
        outside = kind == "cmo" and not margin <= epoch < self.config.epochs - margin
        if kind == "none" or outside or numbers[0] >= self.config.pixel_probability:
            return BatchPlan(slots=slots, partners=None, mix=None)
        mix = draw_mix(kind, self.config.pixel_alpha or 1.0, self.config.resolution or 1, numbers[1:])
        partners = self._rare_partners(slots, step) if kind == "cmo" else self._batch_partners(slots, step)
        return BatchPlan(slots=slots, partners=partners, mix=mix)

    def _eligible(self, items: Int64[np.ndarray, " n"], which: Literal["all", "real", "synthetic"]) -> np.ndarray:
        if which == "all":
            return np.ones(len(items), dtype=np.bool_)
        return (items < self.real) == (which == "real")

    def _batch_partners(self, slots: Slots, step: int) -> Slots:
        """A permutation of the batch; images that are not mixed are their own partners, which changes nothing."""
        rows = np.flatnonzero(self._eligible(slots.items, self.config.pixel_on)).astype(np.int64)
        chosen = np.arange(len(slots.items), dtype=np.int64)
        if len(rows):
            epoch = np.full(len(rows), step, dtype=np.int64)
            position = np.arange(len(rows), dtype=np.int64)
            order = keyed_permutation(position, len(rows), self.config.seed, "classifier partners", epoch)
            chosen[rows] = rows[order]
        return slots.take(chosen)

    def _rare_partners(self, slots: Slots, step: int) -> Slots:
        """CMO: partners drawn with weight 1/n_c, that is every class equally often, and any of its images."""
        pool = np.flatnonzero(self._eligible(np.arange(len(self.labels)), self.config.pixel_on)).astype(np.int64)
        hard = self.labels.argmax(axis=1)
        present = np.unique(hard[pool])
        count = len(slots.items)
        places = step * (self.config.batch_size + 1) + np.arange(count, dtype=np.int64)
        numbers, draws = self._draws("classifier cmo", places), self._draws("classifier cmo crop", places)
        items = slots.items.copy()
        rows = self._eligible(slots.items, self.config.pixel_on)
        for row in np.flatnonzero(rows):
            own = pool[hard[pool] == present[int(numbers[row, 0] * len(present))]]
            items[row] = own[int(numbers[row, 1] * len(own))]
        return Slots(items=items, draws=np.where(rows[:, None], draws, slots.draws))
