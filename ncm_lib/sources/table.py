"""A CSV or JSONL file that lists images and their labels."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

from ..errors import InputError
from .files import LooseFiles, Names
from .folder import Walk
from .labels import Label, LabelColumn
from .scan import Scan

FILE_COLUMNS = ("file_name", "path", "file", "image")
NAME_COLUMNS = ("label", "class", "class_name")
ID_COLUMNS = ("class_id", "label_id")
METADATA = ("metadata.csv", "metadata.jsonl")

_DELIMITERS = ",;\t"
_Row = Mapping[str, Any]


def label_columns(columns: list[str], asked: str | None, where: str) -> tuple[str, bool]:
    """Which column holds the labels, and whether they are ids.

    Raises:
        InputError: the column that was asked for is not there, or none has a known name.
    """
    if asked is not None and asked not in columns:
        raise InputError(f"{where} has no column {asked!r}; its columns are {', '.join(columns)}.")
    for known in (asked,) if asked is not None else (*NAME_COLUMNS, *ID_COLUMNS):
        if known in columns:
            return known, known in ID_COLUMNS
    raise InputError(
        f"{where} has no column of labels; its columns are {', '.join(columns)}. Call one of them "
        f"{' or '.join(NAME_COLUMNS)} (names) or {' or '.join(ID_COLUMNS)} (numbers), or say which (label_column=)."
    )


def has_labels(file: Path) -> bool:
    """Whether a metadata file labels its images; one that only describes them does not."""
    return any(name in row for _, row in itertools.islice(_rows(file), 1) for name in (*NAME_COLUMNS, *ID_COLUMNS))


def scan_table(file: Path, *, label_column: str | None, inside: bool) -> Scan:
    """Read a file that lists images.

    Args:
        file: ``.csv`` or ``.tsv`` with a header (comma, semicolon or tab), or ``.jsonl``.
        label_column: which column holds the labels; by default the first of ``NAME_COLUMNS`` and ``ID_COLUMNS``.
        inside: names must stay inside of the file's folder (the metadata file of a folder), and images in the folder
            that it does not list are noted; else any local file may be listed, absolute or relative to that folder.

    Raises:
        InputError: a line cannot be read, a column is missing, or a name is not legal; the message names the line.
    """
    names, labels, listed = Names(), LabelColumn(), set[str]()
    notes: list[str] = []
    head: _Head | None = None
    for line, row in _rows(file):
        head = head or _read_head(file, list(row), label_column)
        where = f"{file}, line {line}"
        name = _checked_name(row.get(head.file), inside, where)
        names.add(name)
        labels.add(_checked_label(row.get(head.label), head.is_id, where))
        if inside:
            listed.add(str(PurePosixPath(name)))
    if head is None:
        raise InputError(f"{file} lists no images; a line per image is needed, under the columns file_name and label.")
    if head.unused:
        notes.append(f"the column {head.unused} is not used: the names under {head.label} decide, in sorted order")
    if inside:
        walk = Walk(file.parent, known=frozenset({file.name}))
        for image in walk.images(""):
            if image not in listed:
                walk.notes.add(f"images that {file.name} does not list, left out", image)
        notes += walk.notes.lines()
    return Scan(
        form=file.name if inside else f"{file.suffix.lower()[1:]} list",
        files=LooseFiles(file.parent, names),
        labels=labels.ordered(),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Head:
    """Which column is what."""

    file: str
    label: str
    is_id: bool
    unused: str


def _read_head(file: Path, columns: list[str], asked: str | None) -> _Head:
    name = next((name for name in FILE_COLUMNS if name in columns), None)
    if name is None:
        raise InputError(
            f"{file} has no column of files; its columns are {', '.join(columns)}. Call it {FILE_COLUMNS[0]}."
        )
    label, is_id = label_columns(columns, asked, str(file))
    unused = next((name for name in ID_COLUMNS if name in columns and name != label), "")
    return _Head(file=name, label=label, is_id=is_id, unused=unused)


def _rows(file: Path) -> Iterator[tuple[int, _Row]]:
    """The rows of a file with the numbers of their lines."""
    try:
        yield from _json_rows(file) if file.suffix.lower() == ".jsonl" else _csv_rows(file)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(f"{file} cannot be read as {file.suffix[1:].upper()} in UTF-8 ({error}).") from error


def _csv_rows(file: Path) -> Iterator[tuple[int, _Row]]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        head = text.readline()
        text.seek(0)
        reader = csv.reader(text, delimiter=max(_DELIMITERS, key=head.count), skipinitialspace=True, strict=True)
        columns = [name.strip() for name in next(reader, list[str]())]
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise InputError(
                    f"{file}, line {reader.line_num} has {len(values)} values; the header names {len(columns)} columns "
                    f"({', '.join(columns)}). Put values that hold the separator in quotes."
                )
            yield reader.line_num, dict(zip(columns, values, strict=True))


def _json_rows(file: Path) -> Iterator[tuple[int, _Row]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(f"{file}, line {number} is not readable as JSON ({error}).") from error
            if not isinstance(row, dict):
                raise InputError(f"{file}, line {number} holds a {type(row).__name__}; legal is one object a line.")
            yield number, cast("dict[str, Any]", row)


def _checked_name(name: object, inside: bool, where: str) -> str:
    reason = None
    if not isinstance(name, str) or not name.strip():
        reason = "a file name is needed"
    elif "\0" in name:
        reason = "a file name has no NUL"
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|//|\\\\", name):
        reason = "only local files are read; download it first"
    elif inside and (PurePath(name).is_absolute() or PureWindowsPath(name).drive or ".." in re.split(r"[/\\]", name)):
        reason = "the metadata file of a folder names files inside of that folder"
    if reason is not None:
        raise InputError(f"{where} has the file {name!r}: {reason}.")
    return cast("str", name)


def _checked_label(label: object, is_id: bool, where: str) -> Label:
    if isinstance(label, str) and label.strip():
        if not is_id:
            return label.strip()
        if label.strip().isascii() and label.strip().isdigit():
            return int(label)
    elif isinstance(label, int) and not isinstance(label, bool):
        return label
    raise InputError(f"{where} has the label {label!r}; legal is {'a number' if is_id else 'a name or a number'}.")
