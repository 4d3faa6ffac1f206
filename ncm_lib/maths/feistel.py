"""The Feistel network behind ``rng.keyed_permutation``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# measured: with fewer, the 720 orders of 6 elements are not equally likely
_ROUNDS = 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def permute(position: NDArray[np.uint64], size: int, key: int, epoch: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Permute range(size) by a generalised Feistel network with cycle walking.

    Args:
        position: in [0, size), [n].
        size: 1 to 2**62.
        key: 64 bits.
        epoch: every epoch has its own permutation, [n].

    Returns:
        Values in [0, size), [n].

    Reference:
        Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002.
    """
    rows = math.isqrt(size - 1) + 1
    # an even side: additions modulo odd numbers are even permutations, which would leave out half of all orders
    columns = 2 * -(-size // (2 * rows))
    p, q, limit = np.uint64(rows), np.uint64(columns), np.uint64(size)
    keys = _mix(epoch * _GOLDEN + np.uint64(key))
    value = _rounds(position, p, q, keys)
    outside = np.flatnonzero(value >= limit)
    while len(outside):
        value[outside] = _rounds(value[outside], p, q, keys[outside])
        outside = outside[value[outside] >= limit]
    return value


def _rounds(value: NDArray[np.uint64], p: np.uint64, q: np.uint64, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    left, right = value // q, value % q
    for _ in range(_ROUNDS // 2):
        keys = keys + _GOLDEN
        left = _add(left, right ^ keys, p)
        keys = keys + _GOLDEN
        right = _add(right, left ^ keys, q)
    return left * q + right


def _add(value: NDArray[np.uint64], word: NDArray[np.uint64], modulus: np.uint64) -> NDArray[np.uint64]:
    # the upper half of the mixed word, scaled to [0, modulus): both are below 2**32
    value = value + ((_mix(word) >> _HALF) * modulus >> _HALF)
    return np.where(value < modulus, value, value - modulus)


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # Fig. 14, Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (SplitMix64's constants)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
