"""Which part of a data set one process makes, where several make it together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part ``index`` of ``count``: every count-th batch of the plan.

    Shards never talk: which samples a shard owns depends on the sample's index and the batch shape alone, not on what
    is there already, so that shards may start, die and resume at different times without making a sample twice.

    Example:
        >>> shard = Shard(index=1, count=2)
        >>> [sample for sample in range(8) if shard.owns(sample, batch_shape=2)]
        [2, 3, 6, 7]
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InputError(f"The shard is {self.index}/{self.count}; legal is I/N with 0 <= I < N, such as 0/4.")

    def owns(self, sample: int, *, batch_shape: int) -> bool:
        """Whether this shard makes the sample."""
        return sample // batch_shape % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises:
            InputError: the text has another form, or I is not below N.
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
        if match is None:
            raise InputError(f"The shard is {text!r}; legal is I/N with 0 <= I < N, such as 0/4.")
        return cls(index=int(match[1]), count=int(match[2]))


def device_of_environment(environment: Mapping[str, str]) -> str | None:
    """The GPU that a launcher gives this process by LOCAL_RANK (torchrun, accelerate launch), or None."""
    if torch.cuda.device_count() > 1 and "LOCAL_RANK" in environment:
        return f"cuda:{int(environment['LOCAL_RANK']) % torch.cuda.device_count()}"
    return None


def shard_of_environment(environment: Mapping[str, str]) -> Shard:
    """The shard that a launcher means by its environment variables; the whole where there is no launcher.

    RANK and WORLD_SIZE (torchrun, accelerate launch), SLURM_PROCID and SLURM_NTASKS (srun), or SLURM_ARRAY_TASK_ID,
    _MIN, _MAX and _STEP (sbatch --array), in this order.

    Raises:
        InputError: the variables are there and make no sense.
    """
    for rank, size in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in environment and environment.get(size, "1") != "1":
            return Shard.parse(f"{environment[rank]}/{environment[size]}")
    if "SLURM_ARRAY_TASK_ID" in environment:
        names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP")
        own, first, last, step = (int(environment.get(name, "1" if name.endswith("STEP") else "0")) for name in names)
        return Shard(index=(own - first) // step, count=(last - first) // step + 1)
    return Shard()
