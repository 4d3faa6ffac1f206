"""A data set as a folder per class, for programs that know one class per image."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from ..wording import counted
from .class_folders import class_folders
from .export_source import Source, Written, write_json
from .record import Record


def write_imagefolder(folder: Path, source: Source, *, min_weight: float = 0.0) -> Written:
    """Write ``CLASS/00000012.png``: each image in the folder of the class with the largest weight in its label.

    Where two classes have the same weight, the lower class id has the image. ``class_folders`` tells how a class that
    cannot be a folder's name is written. A class without an image gets no folder. The images are hard links to those
    of the data set where the file system has such, so they take no space; else copies.

    Args:
        folder: where the class folders go.
        source: what is in them.
        min_weight: images whose largest weight is below it are left out.

    Raises:
        InputError: no image is left.
    """
    classes = source.manifest.classes
    names = class_folders(classes)
    places = [folder / name for name in names]
    counts = [0] * len(places)
    left_out = 0
    for record in source.records():
        class_id, weight = hard_label(record)
        if weight < min_weight:
            left_out += 1
            continue
        if not counts[class_id]:
            places[class_id].mkdir()
        counts[class_id] += 1
        _link(record, source, places[class_id])
    if not any(counts):
        raise InputError(
            f"None of {counted(left_out, 'image')} has a class of weight {min_weight:g} or more, so nothing would be "
            "left; take a smaller min_weight (--min-weight)."
        )
    write_json(folder / "classes.json", source.class_list() | {"folders": names, "images": counts})
    notes: list[str] = []
    if left_out:
        notes.append(f"{counted(left_out, 'image')} left out: the largest weight is below {min_weight:g}")
    if empty := [name for name, count in zip(classes, counts, strict=True) if not count]:
        shown = ", ".join(empty[:3]) + (", ..." if len(empty) > 3 else "")
        notes.append(f"{len(empty)} of {len(classes)} classes have no image and so no folder: {shown}")
    return Written(count=sum(counts), files=len(counts) - len(empty), notes=tuple(notes))


def hard_label(record: Record) -> tuple[int, float]:
    """The class with the largest weight, and that weight; of several, the lowest class id.

    Example:
        >>> record = Record(
        ...     file_name="-", index=0, seed=5, class_ids=(4, 2), weights=(0.5, 0.5), method="demo", plan_hash="1"
        ... )
        >>> hard_label(record)
        (2, 0.5)
    """
    weights: dict[int, float] = {}
    for class_id, weight in zip(record.class_ids, record.weights, strict=True):
        weights[class_id] = weights.get(class_id, 0.0) + weight
    return max(sorted(weights.items()), key=lambda share: share[1])


def _link(record: Record, source: Source, place: Path) -> None:
    path = source.path(record)
    try:
        os.link(path, place / path.name)
    except OSError:
        # another disk, or a file system without links
        (place / path.name).write_bytes(source.image(record))
