"""Which images of a listing a subset keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..typing import Int64, UInt8
from .notes import listed


def chosen_rows(
    digests: UInt8[np.ndarray, "n 32"],
    counts: Int64[np.ndarray, " classes"],
    per_class: int | Sequence[int],
    seed: int,
    classes: ClassList,
) -> Int64[np.ndarray, " rows"]:
    """Choose images of every class: those whose keyed hash comes first.

    rank(image) = BLAKE2b(content hash, key = seed): an order of its own for every seed, which does not depend on what
    else is there.

    Args:
        digests: of n images, sorted by class.
        counts: images per class.
        per_class: how many to choose of every class, or of each.
        seed: at least 0.
        classes: names the classes in messages.

    Returns:
        Rows, rising.

    Raises:
        InputError: a class has fewer images than were asked for, or the counts do not fit the classes.
    """
    wanted = _wanted(per_class, counts, classes)
    if seed < 0:
        raise InputError(f"The seed is {seed}; take an integer of at least 0.")
    key = hashlib.sha256(str(seed).encode()).digest()
    starts = np.concatenate([[0], np.cumsum(counts)])
    chosen: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for start, stop, count in zip(starts[:-1], starts[1:], wanted, strict=True):
        ranks = [hashlib.blake2b(digest.tobytes(), key=key, digest_size=16).digest() for digest in digests[start:stop]]
        first = sorted(range(len(ranks)), key=ranks.__getitem__)[:count]
        chosen.append(np.array(sorted(first), dtype=np.int64) + start)
    return np.concatenate(chosen)


def _wanted(per_class: int | Sequence[int], counts: Int64[np.ndarray, " classes"], classes: ClassList) -> list[int]:
    wanted = [per_class] * len(counts) if isinstance(per_class, int) else [int(count) for count in per_class]
    if len(wanted) != len(counts):
        raise InputError(f"{len(wanted)} counts came for {len(counts)} classes; give one per class.")
    if any(count < 0 for count in wanted) or (isinstance(per_class, int) and per_class < 1):
        raise InputError(f"{min(wanted)} images of a class were asked for; ask for at least 1 (0 in a list of counts).")
    short = [
        f"{name} has {have} of {want}"
        for name, have, want in zip(classes.names, counts, wanted, strict=True)
        if have < want
    ]
    if short:
        raise InputError(
            f"Classes with fewer images than were asked for: {len(short)} ({listed(short)}). Ask for fewer, or give a "
            "count for each class."
        )
    return wanted
