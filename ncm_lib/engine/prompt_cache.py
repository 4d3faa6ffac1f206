"""Encoded prompts, kept over a run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch

from .conditioning import Conditioning, stack
from .families import Family

LIMIT_BYTES = 2**29
"""Of kept embeddings, over which the prompts that were not asked for longest are encoded again when they are."""


class PromptCache:
    """A model's conditioning of each prompt, encoded once as long as there is room.

    Every prompt is encoded by itself: the bits of a text encoder's row depend on the size of its batch, and a run that
    is resumed meets the prompts in other company.
    """

    def __init__(self, family: Family, limit_bytes: int = LIMIT_BYTES) -> None:
        self._family = family
        self._limit = limit_bytes
        self._kept: OrderedDict[str, Conditioning] = OrderedDict()
        self._bytes = 0

    def learn(self, prompts: Iterable[str]) -> None:
        """Encode the prompts that are not there yet; InputError where one is too long for the model."""
        for prompt in dict.fromkeys(prompts):
            self[prompt]

    def batch(self, prompts: Sequence[str]) -> Conditioning:
        """The conditioning of these prompts as a batch, a row each."""
        return stack([self[prompt] for prompt in prompts])

    def __getitem__(self, prompt: str) -> Conditioning:
        if prompt in self._kept:
            self._kept.move_to_end(prompt)
            return self._kept[prompt]
        with torch.inference_mode():
            (encoded,) = self._family.encode([prompt])
        self._kept[prompt] = encoded
        self._bytes += size_in_bytes(encoded)
        while self._bytes > self._limit and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= size_in_bytes(oldest)
        return encoded


def size_in_bytes(conditioning: Conditioning) -> int:
    """Memory of one prompt's conditioning."""
    tensors = [conditioning] if isinstance(conditioning, torch.Tensor) else conditioning.values()
    return sum(tensor.nbytes for tensor in tensors)
