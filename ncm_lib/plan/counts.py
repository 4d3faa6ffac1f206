"""How many images each class has, and how many it is to get."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ..errors import InputError
from ..wording import counted
from .classes import ClassList
from .files import read_csv, read_json

_LEGAL = (
    'legal: an image folder with one sub-folder per class, a JSON file {"robin": 30, "wren": 4}, '
    "or a CSV file with a class and its count per row"
)


def class_counts_in(path: str | Path, classes: ClassList) -> list[int]:
    """Read how many real images every class has.

    Args:
        path: a JSON file ``{"robin": 30, "wren": 4}``, or a CSV file with a class and its count per row (a first row
            such as ``class,count`` is passed over).
        classes: the classes; names must agree.

    Returns:
        One count per class, in the order of the class ids.

    Raises:
        InputError: there is no such file, it has another form, or its names are not those of the classes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (file := Path(folder, "counts.json")).write_text('{"wren": 4, "robin": 30}')
        ...     class_counts_in(file, ClassList.of(["robin", "wren"]))
        [30, 4]
    """
    source = Path(path)
    if source.suffix.lower() == ".json":
        found = _json_counts(source)
    elif source.suffix.lower() == ".csv":
        found = _csv_counts(source)
    else:
        what = "is no such file" if source.exists() else "is not there"
        raise InputError(f"Counts of real images were looked for in {str(path)!r}, which {what}; {_LEGAL}.")
    order = classes.order_of([name for name, _ in found], str(path))
    return [found[place][1] for place in order]


def synthetic_counts(
    real: Sequence[int], *, multiplier: float | int | None = None, balance: bool = False, top_up: int | None = None
) -> list[int]:
    """Decide how many synthetic images each class gets.

    With r_c real images of class c, m the multiplier and R = max(r):

        n_c = round(m * r_c)                    as many as there are, m times
        n_c = R + round(m * R) - r_c            balance: real and synthetic together are as many for every class
        n_c = max(n_c, top_up - r_c)            top_up: no class has fewer than that in all

    Halves are rounded up.

    Args:
        real: per class, at least 0.
        multiplier: m, at least 0. None is 1, and 0 where ``balance`` or ``top_up`` says how many.
        balance: make all classes equally large.
        top_up: the least that real and synthetic images of a class together shall be, at least 1.

    Returns:
        One count per class.

    Raises:
        InputError: an argument is out of its range, or nothing is left to be made.

    Example:
        >>> synthetic_counts([10, 4, 1], multiplier=2)
        [20, 8, 2]
        >>> synthetic_counts([10, 4, 1], balance=True), synthetic_counts([10, 4, 1], balance=True, multiplier=0.5)
        ([0, 6, 9], [5, 11, 14])
        >>> synthetic_counts([10, 4, 1], top_up=5)
        [0, 1, 4]
    """
    if multiplier is not None and not 0 <= multiplier <= 1e6:
        raise InputError(f"The multiplier is {multiplier}; take a number from 0 to 1000000, such as 1 or 0.5.")
    if top_up is not None and not 1 <= top_up < 2**31:
        raise InputError(f"top_up is {top_up}; take the least number of images of a class: 1 or more.")
    factor = multiplier if multiplier is not None else 0 if balance or top_up is not None else 1
    most = max(real, default=0)
    counts = [most + _rounded(factor * most) - count if balance else _rounded(factor * count) for count in real]
    counts = [max(count, (top_up or 0) - there) for count, there in zip(counts, real, strict=True)]
    if not any(counts):
        least = min(real, default=0)
        there = f"{least} to {most} real images" if least < most else f"{counted(most, 'real image')} each"
        raise InputError(
            f"Nothing is left to be made: the {len(real)} classes have {there}. Give a multiplier above 0, or a larger "
            "top_up."
        )
    return counts


def _rounded(value: float | int) -> int:
    return math.floor(value + 0.5)


def _json_counts(file: Path) -> list[tuple[str, int]]:
    content = read_json(file, _LEGAL)
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}, not an object of counts; {_LEGAL}.")
    return [(name, _count(value, name, file)) for name, value in cast("dict[str, object]", content).items()]


def _csv_counts(file: Path) -> list[tuple[str, int]]:
    rows = read_csv(file, _LEGAL)
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise InputError(f"Row {number} of {file} has {len(row)} cells, not a class and its count; {_LEGAL}.")
    if rows and not _is_number(rows[0][1]):
        rows = rows[1:]
    return [(name, _count(text, name, file)) for name, text in rows]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _count(value: object, name: str, file: Path) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"{file} has the count {value!r} for {name!r}; take a whole number, 0 or more.")
    return value
