"""From the labels that a source writes to the ids of a class list."""

from __future__ import annotations

import difflib
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
    known = _by_name(texts, classes) if texts is not None else {}
    if texts is None or (numbers is not None and not known):
        found = _checked_ids(numbers or [], classes, where)
    else:
        found = _found(texts, known, classes, where)
    missing = [classes.names[class_id] for class_id in sorted(set(range(len(classes))) - set(found))]
    if missing:
        raise InputError(
            f"{where} has nothing of {len(missing)} classes of the list: {listed(missing)}; "
            "give the class list of this source, or add what is missing."
        )
    return classes, np.array(found, dtype=np.int32)[labels.ids]


def _checked_ids(numbers: list[int], classes: ClassList, where: str) -> list[int]:
    wrong = [number for number in numbers if not 0 <= number < len(classes)]
    if wrong:
        raise InputError(
            f"{where} has the labels {listed(map(str, wrong))}; the class list has {len(classes)} classes, "
            f"so legal are the ids 0 to {len(classes) - 1}."
        )
    return numbers


def _found(texts: list[str], known: dict[str, int], classes: ClassList, where: str) -> list[int]:
    unknown = [text for text in texts if text not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], classes.names, n=3, cutoff=0.4) or classes.names[:3]
        raise InputError(
            f"{where} has {len(unknown)} labels that are not in the class list: {listed(unknown)}; "
            f"near to the first: {listed(near)}. Give the class list of this source, or leave it out."
        )
    owner: dict[int, str] = {}
    for text in texts:
        if owner.setdefault(known[text], text) != text:
            raise InputError(
                f"{where} has the labels {owner[known[text]]!a} and {text!a}, equal but for their Unicode form, "
                "and the class list has only one of them; put both in it, or make them one."
            )
    return [known[text] for text in texts]


def _by_name(texts: Sequence[str], classes: ClassList) -> dict[str, int]:
    exact = {name: class_id for class_id, name in enumerate(classes.names)}
    normal: dict[str, list[int]] = {}
    for name, class_id in exact.items():
        normal.setdefault(unicodedata.normalize("NFC", name), []).append(class_id)
    known: dict[str, int] = {}
    for text in texts:
        same = [exact[text]] if text in exact else normal.get(unicodedata.normalize("NFC", text), [])
        if len(same) == 1:
            known[text] = same[0]
    return known


def _as_texts(labels: Sequence[Label]) -> list[str] | None:
    texts = [label for label in labels if isinstance(label, str)]
    return texts if len(texts) == len(labels) else None


def _as_numbers(labels: Sequence[Label]) -> list[int] | None:
    numbers = [int(label) for label in labels if isinstance(label, int) or (label.isascii() and label.isdigit())]
    return numbers if len(numbers) == len(labels) else None


def _key(label: Label) -> tuple[bool, Label]:
    return isinstance(label, str), label
