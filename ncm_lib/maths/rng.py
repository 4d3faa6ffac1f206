"""Counter-based random streams: every number is a pure function of (seed, purpose, index)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from scipy.special import ndtri  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor

from ..errors import InputError
from ..typing import Float32, Float64, Int64
from .feistel import permute

_WORDS_PER_BLOCK = 4
_SEED_LIMIT = 2**63
_SIZE_LIMIT = 2**62

Seeds: TypeAlias = int | Sequence[int] | Int64[np.ndarray, " rows"]
"""One seed for all rows of a batch, or one for each."""


def uniforms(seed: int, purpose: str, start: int, stop: int, per_sample: int) -> Float64[np.ndarray, "n per_sample"]:
    """Draw the uniform numbers of the samples ``start..stop-1``.

    u = w / 2**53, with w the upper 53 bits of a 64-bit word of Philox4x64-10, key (seed, hash of purpose), counter
    index * blocks, where blocks = ceil(per_sample / 4) words of four belong to each sample. So row i depends on
    (seed, purpose, start + i) only, whatever the range around it.

    Args:
        seed: in [0, 2**63).
        purpose: names the stream; streams of different purposes, or of different blocks per sample, share nothing.
        start: first index, at least 0.
        stop: one past the last index, at least ``start``.
        per_sample: numbers per sample, at least 1.

    Returns:
        Values in [0, 1), shape [stop - start, per_sample]; empty where start equals stop.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> bool((uniforms(0, "demo", 0, 9, 2)[5:] == uniforms(0, "demo", 5, 9, 2)).all())
        True

    Reference:
        Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.
    """
    check_seed(seed)
    if not 0 <= start <= stop <= _SEED_LIMIT:
        raise InputError(f"The index range is {start}..{stop}; it must satisfy 0 <= start <= stop <= 2**63.")
    if per_sample < 1:
        raise InputError(f"per_sample is {per_sample}; ask for at least 1 number per sample.")
    blocks = -(-per_sample // _WORDS_PER_BLOCK)
    philox = np.random.Philox(key=seed | _hash64(f"{blocks}:{purpose}") << 64, counter=start * blocks)
    words = philox.random_raw((stop - start, blocks * _WORDS_PER_BLOCK))
    return (words[:, :per_sample] >> np.uint64(11)) * 2.0**-53


def sample_seeds(seed: int, start: int, stop: int) -> Int64[np.ndarray, " n"]:
    """Draw the seeds of the samples ``start..stop-1`` of a data set.

    Args:
        seed: of the data set, in [0, 2**63).
        start: first index, at least 0.
        stop: one past the last index.

    Returns:
        Integers in [0, 2**53): exact in JSON, JavaScript and int64. Entry i depends on (seed, start + i) only.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> bool((sample_seeds(0, 0, 9)[5:] == sample_seeds(0, 5, 9)).all())
        True
    """
    return (uniforms(seed, "sample_seed", start, stop, 1)[:, 0] * 2.0**53).astype(np.int64)


def row_seeds(seed: Seeds, rows: int) -> list[int]:
    """Give every row of a batch its own seed.

    Args:
        seed: one seed in [0, 2**63), from which the rows' seeds are drawn, or the rows' own seeds.
        rows: N.

    Returns:
        N seeds.

    Raises:
        InputError: the number of seeds is not N, or a seed is out of its range.

    Example:
        >>> row_seeds([7, 8], 2)
        [7, 8]
    """
    if isinstance(seed, int):
        return [int(value) for value in sample_seeds(seed, 0, rows)]
    if len(seed) != rows:
        raise InputError(f"{len(seed)} seeds came for {rows} rows; give one seed per row, or a single one for all.")
    for value in seed:
        check_seed(int(value))
    return [int(value) for value in seed]


def normals(seed: int, purpose: str, size: int) -> Float64[np.ndarray, " size"]:
    """Draw Gaussian numbers by inverse CDF, so that they rest on Philox alone and not on a library's sampler.

    Args:
        seed: in [0, 2**63); every bit counts (torch's CPU generator would drop all but 32, so that among a million
            samples about a hundred pairs would share their noise).
        purpose: names the stream.
        size: how many, at least 1.

    Returns:
        Draws of N(0, 1).

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> normals(0, "demo", 3).shape
        (3,)
    """
    # the middle of the 2**-53 wide cell, so that the CDF is never inverted at 0
    return ndtri(uniforms(seed, purpose, 0, 1, size)[0] + 2.0**-54)


def sample_noise(seed: int, shape: Sequence[int]) -> Float32[Tensor, " ..."]:
    """Draw the start noise of one sample, on the CPU, whatever device it goes to.

    Args:
        seed: the sample's own seed (``sample_seeds``), in [0, 2**63).
        shape: of one sample, for example (4, 64, 64).

    Returns:
        Draws of N(0, 1); the same on every machine and in every batch.

    Raises:
        InputError: the seed is out of its range, or the shape holds no element.

    Example:
        >>> bool((sample_noise(7, (4, 8, 8)) == sample_noise(7, (4, 8, 8))).all())
        True
    """
    values = normals(seed, "noise", math.prod(shape))
    return torch.as_tensor(values, dtype=torch.float32).reshape(tuple(shape))


def keyed_permutation(
    position: Int64[np.ndarray, " n"], size: int, seed: int, purpose: str, epoch: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Look up entries of a pseudo-random permutation of range(size), another one in every epoch.

    l <- l + F(r) mod p, then r <- r + F(l) mod q, over and over, with position = l*q + r, p = ceil(sqrt(size)),
    q = 2*ceil(size / (2*p)) and F a mixer keyed by (seed, purpose, epoch, round). A value that lands outside
    range(size) goes round again until it is inside. An entry costs O(1), needs no table, and does not depend on which
    others are asked for.

    Args:
        position: in [0, size).
        size: how many elements are permuted, 1 to 2**62.
        seed: in [0, 2**63).
        purpose: names the stream.
        epoch: at least 0; positions of the same epoch share a permutation.

    Returns:
        Values in [0, size); the positions 0..size-1 of one epoch get each exactly once.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> order = keyed_permutation(np.arange(5), 5, 0, "demo", np.zeros(5, dtype=np.int64))
        >>> sorted(order.tolist())
        [0, 1, 2, 3, 4]

    Reference:
        Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002.
    """
    check_seed(seed)
    if not 1 <= size <= _SIZE_LIMIT:
        raise InputError(f"The permutation's size is {size}; it must be from 1 to 2**62.")
    if position.size and not 0 <= position.min() <= position.max() < size:
        raise InputError(f"Positions {position.min()}..{position.max()} came; they must be from 0 to {size - 1}.")
    if position.shape != epoch.shape or (epoch.size and epoch.min() < 0):
        raise InputError("The epochs do not fit the positions; give every position one epoch of at least 0.")
    key = _hash64(f"{seed}:{purpose}")
    return permute(position.astype(np.uint64), size, key, epoch.astype(np.uint64)).astype(np.int64)


def check_seed(seed: int) -> None:
    """Raise InputError where ``seed`` is outside [0, 2**63)."""
    if not 0 <= seed < _SEED_LIMIT:
        raise InputError(f"The seed is {seed}; take an integer from 0 to 2**63 - 1 ({_SEED_LIMIT - 1}).")


def _hash64(text: str) -> int:
    # not hash(): that one changes with PYTHONHASHSEED
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
