"""A classifier's confusion matrix, from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from ..errors import InputError
from .classes import ClassList
from .files import read_csv, read_json

_LEGAL = (
    "legal: a CSV file whose first row names the columns (behind an empty cell) and whose other rows are a true class "
    'and its numbers, or a JSON file {"classes": [...], "matrix": [[...], ...]} with a row per true class'
)


def load_confusion(path: str | Path, classes: ClassList) -> tuple[tuple[float, ...], ...]:
    r"""Read a confusion matrix in the order of the classes.

    Args:
        path: a CSV file whose first row names what classes were taken for and whose other rows are a true class and
            its numbers, or a JSON file ``{"classes": [...], "matrix": [[...], ...]}`` whose rows are the true classes.
            Counts or rates; the order of rows and columns does not matter, because the names are there.
        classes: C classes; names must agree.

    Returns:
        C rows of C numbers: [true class][taken for], by class id.

    Raises:
        InputError: there is no such file, it has another form, its names are not those of the classes, or a number is
            negative or not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (file := Path(folder, "confusion.csv")).write_text(",wren,robin\nwren,9,1\nrobin,2,8\n")
        ...     load_confusion(file, ClassList.of(["robin", "wren"]))
        ((8.0, 2.0), (1.0, 9.0))
    """
    file = Path(path)
    if file.suffix.lower() == ".json":
        rows, columns, cells = _from_json(file)
    elif file.suffix.lower() == ".csv":
        rows, columns, cells = _from_csv(file)
    else:
        raise InputError(f"A confusion matrix was looked for in {str(path)!r}, which is no such file; {_LEGAL}.")
    row_order = classes.order_of(rows, f"{path} (its rows)")
    column_order = classes.order_of(columns, f"{path} (its columns)")
    return tuple(
        tuple(_number(cells[row][column], rows[row], columns[column], file) for column in column_order)
        for row in row_order
    )


def _from_json(file: Path) -> tuple[list[str], list[str], list[list[object]]]:
    content = read_json(file, _LEGAL)
    fields = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    names, matrix = _list(fields.get("classes")), _list(fields.get("matrix"))
    rows = [_list(row) for row in matrix or ()]
    if fields.keys() != {"classes", "matrix"} or names is None or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file} does not have the form of a confusion matrix; {_LEGAL}.")
    if matrix is None or len(rows) != len(names) or any(row is None or len(row) != len(names) for row in rows):
        raise InputError(f"The matrix in {file} does not have {len(names)} rows of {len(names)} numbers; {_LEGAL}.")
    text = cast("list[str]", names)
    return text, text, cast("list[list[object]]", rows)


def _from_csv(file: Path) -> tuple[list[str], list[str], list[list[object]]]:
    table = read_csv(file, _LEGAL)
    if not table:
        raise InputError(f"{file} is empty; {_LEGAL}.")
    head, *body = table
    for number, row in enumerate(body, 2):
        if len(row) != len(head):
            raise InputError(
                f"Row {number} of {file} has {len(row)} cells and the first row has {len(head)}; {_LEGAL}."
            )
    cells: list[list[object]] = [[_parsed(text) for text in row[1:]] for row in body]
    return [row[0] for row in body], head[1:], cells


def _list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _parsed(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _number(value: object, row: str, column: str, file: Path) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max:
        return float(value)
    raise InputError(f"{file} has {value!r} for {row!r} taken for {column!r}; take a finite number, 0 or more.")
