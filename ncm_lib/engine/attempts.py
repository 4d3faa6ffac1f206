"""Samples on their way to an image, and what is tried again."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ..maths.rng import sample_seeds
from ..plan.sample import Sample

RETRIES = 3
"""How often a sample whose image is NaN or of one colour is tried with other noise."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A planned sample with the noise of its seed, or of a sub-seed."""

    planned: Sample
    number: int = 0

    @property
    def sample(self) -> Sample:
        """The sample as it is rendered: the plan's, with this attempt's seed."""
        return dataclasses.replace(self.planned, seed=self.seed)

    @property
    def seed(self) -> int:
        """The plan's seed at first, then sub-seeds drawn from it: the same ones in every run."""
        if self.number == 0:
            return self.planned.seed
        return int(sample_seeds(self.planned.seed, self.number, self.number + 1)[0])

    @property
    def seeds(self) -> list[int]:
        """All seeds that were tried, this one included."""
        return [dataclasses.replace(self, number=number).seed for number in range(self.number + 1)]

    def next(self) -> Attempt | None:
        """The next try, or None where it has been tried often enough."""
        return dataclasses.replace(self, number=self.number + 1) if self.number < RETRIES else None


class WorkList:
    """What is still to be rendered, in batches of at most ``batch_shape``; out of memory halves the batches."""

    def __init__(self, batch_shape: int) -> None:
        self.batch_shape = batch_shape
        self.changes: list[dict[str, int]] = []
        """Each halving: the first sample index of the batch that did not fit, and the new batch shape."""
        self._again: deque[Attempt] = deque()

    def take(self, fresh: Iterable[Attempt]) -> list[Attempt]:
        """The next batch: what is tried again first, then ``fresh`` ones."""
        batch = [self._again.popleft() for _ in range(min(self.batch_shape, len(self._again)))]
        for attempt in fresh if len(batch) < self.batch_shape else ():
            batch.append(attempt)
            if len(batch) == self.batch_shape:
                break
        return batch

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """Try these again."""
        self._again.extend(attempts)

    def halve(self, batch: list[Attempt]) -> bool:
        """Take a batch that did not fit apart; False where it was of one sample."""
        if self.batch_shape == 1:
            return False
        self.batch_shape //= 2
        self.changes.append({"from_index": batch[0].planned.index, "batch_shape": self.batch_shape})
        self._again.extendleft(reversed(batch))
        return True
