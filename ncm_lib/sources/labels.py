"""From the labels that a source writes to the ids of a class list."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..typing import Int32
from .notes import listed

Label = str | int
"""A class's name, or its id in a class list."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The label of every file: ``values`` holds each distinct one once, ``ids`` point into it."""

    values: tuple[Label, ...]
    ids: Int32[np.ndarray, " n"]


class LabelColumn:
    """Labels while a source is being read."""

    def __init__(self) -> None:
        self._places: dict[Label, int] = {}
        self._ids = array("i")

    def __len__(self) -> int:
        return len(self._ids)

    def declare(self, label: Label) -> None:
        """Make ``label`` a class, whether or not an image of it follows."""
        self._places.setdefault(label, len(self._places))

    def add(self, label: Label) -> None:
        """Put the next file's label behind the others."""
        self._ids.append(self._places.setdefault(label, len(self._places)))

    def ordered(self, *, declared: bool = False) -> Labels:
        """All labels; their values sorted, or as they were declared."""
        values = list(self._places)
        order = range(len(values)) if declared else sorted(range(len(values)), key=lambda place: _key(values[place]))
        rank = np.zeros(len(values), dtype=np.int32)
        rank[list(order)] = np.arange(len(values), dtype=np.int32)
        return Labels(values=tuple(values[place] for place in order), ids=rank[np.array(self._ids, dtype=np.int32)])


def resolve(
    labels: Labels, classes: ClassList | None, where: str, *, digits_are_names: bool = False
) -> tuple[ClassList, Int32[np.ndarray, " n"]]:
    """Find the class of every file.

    A label is the class of that name, else the only one that is equal to it after Unicode normalisation (file systems
    differ in that), else, where all labels are numbers, the class of that id.

    Args:
        labels: of the files.
        classes: the list to find them in; None makes one of the names, in their order.
        where: the source, for messages.
        digits_are_names: without a class list, names of digits alone are names and no ids.

    Returns:
        The class list, and the class id of each file.

    Raises:
        InputError: a label is in no class, a class has no label, or numbers came without a class list.

    Example:
        >>> labels = Labels(values=("wren", "robin"), ids=np.array([0, 0, 1], dtype=np.int32))
        >>> resolve(labels, ClassList.of(["robin", "wren"]), "birds")[1].tolist()
        [1, 1, 0]
    """
    if not labels.values:
        raise InputError(f"{where} holds no labelled image.")
    texts, numbers = _as_texts(labels.values), _as_numbers(labels.values)
    if texts is None and numbers is None:
        raise InputError(f"The labels in {where} are names and numbers mixed ({listed(map(str, labels.values))}).")
    if classes is None:
        if texts is None or (numbers is not None and not digits_are_names):
            raise InputError(
                f"The labels in {where} are numbers ({listed(map(str, labels.values))}) and nothing names them; "
                "give the class list that they are ids of (classes=)."
            )
        return ClassList.of(texts), labels.ids
    if texts is not None and (numbers is None or not set(texts).isdisjoint(classes.names)):
        names = _as_listed(texts, classes)
    else:
        names = _names_of(numbers or [], classes, where)
    found = np.empty(len(names), dtype=np.int32)
    found[classes.order_of(names, where)] = np.arange(len(names), dtype=np.int32)
    return classes, found[labels.ids]


def _as_listed(texts: Sequence[str], classes: ClassList) -> list[str]:
    """The texts; those that a class's name differs from in its Unicode form only, as that name."""
    known: dict[str, list[str]] = {}
    for name in classes.names:
        known.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    same = [known.get(unicodedata.normalize("NFC", text), []) for text in texts]
    return [names[0] if len(names) == 1 else text for text, names in zip(texts, same, strict=True)]


def _names_of(numbers: Sequence[int], classes: ClassList, where: str) -> list[str]:
    wrong = [number for number in numbers if not 0 <= number < len(classes)]
    if wrong:
        raise InputError(
            f"{where} has the labels {listed(map(str, wrong))}; the class list has {len(classes)} classes, "
            f"so legal are the ids 0 to {len(classes) - 1}."
        )
    return [classes.names[number] for number in numbers]


def _as_texts(labels: Sequence[Label]) -> list[str] | None:
    texts = [label for label in labels if isinstance(label, str)]
    return texts if len(texts) == len(labels) else None


def _as_numbers(labels: Sequence[Label]) -> list[int] | None:
    numbers = [int(label) for label in labels if isinstance(label, int) or (label.isascii() and label.isdigit())]
    return numbers if len(numbers) == len(labels) else None


def _key(label: Label) -> tuple[bool, Label]:
    return isinstance(label, str), label
