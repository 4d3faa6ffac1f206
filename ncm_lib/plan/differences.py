"""What two heads of the same kind differ in, field by field, in lines that stay short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_WHOLE, _BEFORE, _BEHIND = 200, 30, 70
_NOTHING = object()


def differences(there: Mapping[str, Any], here: Mapping[str, Any], whose: str) -> dict[str, str]:
    """A line for every field that differs, under the field's name.

    Long values, such as a confusion matrix, are shown around the first character in which they differ.

    Args:
        there: fields of what is on the disk, as JSON has them.
        here: those of this run.
        whose: what is on the disk, such as "the folder".

    Example:
        >>> differences({"seed": 0, "steps": 5}, {"seed": 1, "steps": 5}, "the folder")
        {'seed': 'seed: the folder has 0, this run has 1'}
    """
    lines: dict[str, str] = {}
    for key in dict.fromkeys([*there, *here]):
        old, new = there.get(key, _NOTHING), here.get(key, _NOTHING)
        if old is _NOTHING or new is _NOTHING or old != new:
            theirs, ours = _text(old), _text(new)
            lines[key] = f"{key}: {whose} has {_clipped(theirs, ours)}, this run has {_clipped(ours, theirs)}"
    return lines


def _text(value: Any) -> str:
    return "no such field" if value is _NOTHING else json.dumps(value, ensure_ascii=False)


def _clipped(text: str, other: str) -> str:
    """A text, or the part of a long one where it differs from another."""
    if len(text) <= _WHOLE:
        return text
    first = next((place for place, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1]), len(other))
    start, stop = max(0, first - _BEFORE), first + _BEHIND
    return f"{'...' * (start > 0)}{text[start:stop]}{'...' * (stop < len(text))} ({len(text):,} characters)"
