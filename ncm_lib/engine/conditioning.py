"""What a prompt becomes for a model: a tensor, or several under names that stay together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Conditioning: TypeAlias = Tensor | dict[str, Tensor]
"""Per prompt: of SD 1.x and 2.x one tensor [tokens, width]; of SDXL, SD 3 and FLUX a pooled one [width] beside it."""


def stack(rows: Sequence[Conditioning]) -> Conditioning:
    """One conditioning per prompt, as a batch.

    Example:
        >>> batch = stack([{"pooled": torch.zeros(3)}, {"pooled": torch.ones(3)}])
        >>> batch["pooled"].shape
        torch.Size([2, 3])
    """
    return _each(torch.stack, rows)


def concatenate(batches: Sequence[Conditioning]) -> Conditioning:
    """Batches one after another."""
    return _each(torch.cat, batches)


def choose(first: Sequence[bool], one: Conditioning, other: Conditioning) -> Conditioning:
    """Row by row: of ``one`` where ``first`` is true, else of ``other``."""

    def chosen(pair: list[Tensor]) -> Tensor:
        # filled where it is: a list that is copied to a GPU would stall it
        which = torch.zeros(len(first), *[1] * (pair[0].ndim - 1), dtype=torch.bool, device=pair[0].device)
        for row, value in enumerate(first):
            which[row] = value
        return torch.where(which, *pair)

    return _each(chosen, [one, other])


def _each(function: Callable[[list[Tensor]], Tensor], parts: Sequence[Conditioning]) -> Conditioning:
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return function(tensors)
    bundles = [part for part in parts if not isinstance(part, Tensor)]
    return {name: function([bundle[name] for bundle in bundles]) for name in bundles[0]}
