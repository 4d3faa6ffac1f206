"""Samples on their way to an image, and what is tried again."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Hashable, Iterable
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
    """What is still to be rendered, in batches of at most ``batch_shape``; out of memory halves the batches.

    Args:
        batch_shape: samples per batch.
        kind: what all samples of a batch must have in common.
    """

    def __init__(self, batch_shape: int, kind: Callable[[Sample], Hashable] = lambda _: None) -> None:
        self.batch_shape = batch_shape
        self._kind = kind
        self.changes: list[dict[str, int]] = []
        """Each halving: the first sample index of the batch that did not fit, and the new batch shape."""
        self._waiting: dict[Hashable, deque[Attempt]] = {}

    def take(self, fresh: Iterable[Attempt]) -> list[Attempt]:
        """The next batch of one kind: a full one as soon as ``fresh`` has given one, else what is left."""
        batch = self._full()
        for attempt in fresh if not batch else ():
            self._of_kind(attempt).append(attempt)
            if batch := self._full():
                break
        return batch or self._rest()

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """Try these again, before what has not been tried."""
        for attempt in reversed(list(attempts)):
            self._of_kind(attempt).appendleft(attempt)

    def halve(self, batch: list[Attempt]) -> bool:
        """Take a batch that did not fit apart; False where it was of one sample."""
        if self.batch_shape == 1:
            return False
        self.batch_shape //= 2
        self.changes.append({"from_index": batch[0].planned.index, "batch_shape": self.batch_shape})
        self.put_back(batch)
        return True

    def _of_kind(self, attempt: Attempt) -> deque[Attempt]:
        return self._waiting.setdefault(self._kind(attempt.planned), deque())

    def _full(self) -> list[Attempt]:
        for waiting in self._waiting.values():
            if len(waiting) >= self.batch_shape:
                return [waiting.popleft() for _ in range(self.batch_shape)]
        return []

    def _rest(self) -> list[Attempt]:
        for waiting in self._waiting.values():
            if waiting:
                return [waiting.popleft() for _ in range(len(waiting))]
        return []
