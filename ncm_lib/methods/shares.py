"""How often each class is made, and which classes meet: checks that methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..errors import InputError
from ..plan.classes import ClassList

Count = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ClassCounts = tuple[Count, ...]
ConfusionMatrix = tuple[tuple[Share, ...], ...]


def check_counts(counts: Sequence[int] | None, classes: ClassList) -> None:
    """InputError unless there is one count per class, and one that is not 0; None passes."""
    if counts is None:
        return
    if len(counts) != len(classes):
        raise InputError(
            f"{len(counts)} class_counts came for {len(classes)} classes; give one per class, in the order of the "
            "class list."
        )
    if not any(counts):
        raise InputError("class_counts is 0 for every class: nothing is to be made; give some class 1 or more.")


def check_confusion(policy: str, confusion: Sequence[Sequence[float]] | None, classes: ClassList) -> None:
    """InputError unless a square matrix of the classes came exactly where the pair policy reads one."""
    if confusion is None:
        if policy == "confusion":
            raise InputError(
                "pair_policy is 'confusion' and no confusion matrix came; give one, or take another policy: uniform, "
                "balanced."
            )
        return
    if policy != "confusion":
        raise InputError(
            f"A confusion matrix came, and pair_policy {policy!r} does not read it; take pair_policy 'confusion', or "
            "leave the matrix out."
        )
    widths, size = sorted(map(len, confusion)), len(classes)
    if widths != [size] * size:
        raise InputError(
            f"The confusion matrix has {len(widths)} rows of {min(widths, default=0)} to {max(widths, default=0)} "
            f"numbers, and there are {size} classes; give {size} rows of {size}, in the order of the class list."
        )
