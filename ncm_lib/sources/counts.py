"""How many real images each class has, without opening one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.counts import class_counts_in
from .labels import resolve
from .notes import listed
from .recognise import recognise

_LISTS = (".tsv", ".jsonl", ".parquet", ".arrow", ".tar")


def count_images(source: str | Path, classes: ClassList) -> list[int]:
    """Count the real images of every class.

    Args:
        source: what ``load_source`` reads, whose labels are counted (equal and damaged files, too, which only a look
            into them would show); or a JSON or CSV file of counts, as ``class_counts_in`` reads it.
        classes: the classes; names must agree.

    Returns:
        One count per class, in the order of the class ids.

    Raises:
        InputError: there is no such source or file, a part of it cannot be read, or its names are not those of the
            classes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("robin/1.png", "robin/2.png", "wren/1.jpg"):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Path(folder, name).touch()
        ...     count_images(folder, ClassList.of(["wren", "robin"]))
        [1, 2]
    """
    path = Path(source)
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() in _LISTS):
        return class_counts_in(path, classes)
    scan = recognise(path.absolute(), split=None, label_column=None)
    if scan.problems:
        raise InputError(
            f"The images in {path} cannot be counted: {listed(scan.problems)}. Make all of it readable, or give the "
            "counts as a JSON or CSV file."
        )
    _, class_ids = resolve(scan.labels, classes, str(path), digits_are_names=scan.digits_are_names)
    return np.bincount(class_ids, minlength=len(classes)).tolist()
