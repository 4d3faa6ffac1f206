"""One row per class and content, in an order that knows no names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..typing import Int32, Int64, UInt8
from .notes import Tally, listed

Conflicts = Literal["refuse", "drop"]
"""What becomes of an image that two classes hold: an error that names the files, or no row in either class."""


def distinct_rows(
    class_ids: Int32[np.ndarray, " n"],
    digests: UInt8[np.ndarray, "n 32"],
    classes: ClassList,
    name: Callable[[int], str],
    conflicts: Conflicts,
) -> tuple[Int64[np.ndarray, " rows"], tuple[str, ...]]:
    """Sort by class, then by content, and keep each content once per class.

    Args:
        class_ids: of n files.
        digests: sha256 of their content.
        classes: names the classes in messages.
        name: of file i, for messages.
        conflicts: what to do with equal content in two classes.

    Returns:
        The rows to keep, in their new order, and notes on those that are left out.

    Raises:
        InputError: equal content in two classes, and ``conflicts`` is ``"refuse"``.
    """
    left_out = Tally()
    words = words_of(digests)
    order = np.lexsort((*words.T[::-1], class_ids))
    same = _equal_to_the_one_before(words[order], class_ids[order])
    for place in np.flatnonzero(same):
        left_out.add("files that repeat another one of their class, left out", name(int(order[place])))
    rows = order[~same]
    by_content = rows[np.lexsort((class_ids[rows], *words[rows].T[::-1]))]
    again = np.flatnonzero(_equal_to_the_one_before(words[by_content]))
    if len(again) and conflicts != "drop":
        pairs = [
            " and ".join(
                f"{name(int(row))} ({classes.names[class_ids[row]]})" for row in by_content[place - 1 : place + 1]
            )
            for place in again[:3]
        ]
        raise InputError(
            f"Images in two classes: {len(again)} ({listed(pairs, len(again))}). One label of each is wrong: delete "
            'one of the two files, or leave both out (conflicts="drop").'
        )
    wrong = np.unique(np.concatenate([by_content[again - 1], by_content[again]]))
    for row in wrong:
        left_out.add("files that are equal to one of another class, left out", name(int(row)))
    return rows[~np.isin(rows, wrong)], left_out.lines()


def words_of(digests: UInt8[np.ndarray, "n 32"]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Digests as four numbers each, which sort as their hexadecimal text does; [n, 4]."""
    return np.ascontiguousarray(digests).view(">u8").astype(np.uint64).reshape(-1, 4)


def _equal_to_the_one_before(
    words: np.ndarray[Any, np.dtype[np.uint64]], class_ids: Int32[np.ndarray, " n"] | None = None
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    same = np.zeros(len(words), dtype=np.bool_)
    same[1:] = (words[1:] == words[:-1]).all(axis=1)
    if class_ids is not None:
        same[1:] &= class_ids[1:] == class_ids[:-1]
    return same
