"""Small JSON and CSV files that users write: read whole, or refused in plain words."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import InputError
from .plain_words import plain_words

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_json(file: Path, legal: str) -> object:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, is no JSON, or an object in it has a key twice. The message ends with ``legal``.
    """
    text = _text(file, legal)
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not readable as JSON ({error}); {legal}.") from error


def parse_model(data: bytes, kind: type[ModelT], *, what: str, remedy: str) -> ModelT:
    """The content of a JSON file that a program wrote, checked.

    Args:
        data: of the file.
        kind: what it should be.
        what: the message's beginning, such as "pool.json is no pool's head".
        remedy: its end, a sentence.

    Raises:
        InputError: it is no JSON, an object in it has a key twice, or a field is missing, unknown or not legal.
    """
    content: Any = None
    try:
        content = json.loads(data, object_pairs_hook=_distinct)
        return kind.model_validate_json(data)
    except ValidationError as error:
        words = plain_words(error, kind, content)
    except (ValueError, RecursionError) as error:
        words = f"it is not readable as JSON ({error})"
    raise InputError(f"{what}: {words.rstrip('.?')}. {remedy}")


def read_csv(file: Path, legal: str) -> list[list[str]]:
    """The rows of a CSV file, without spaces around the cells and without empty rows.

    Raises:
        InputError: it cannot be read, or is no CSV. The message ends with ``legal``.
    """
    try:
        rows = csv.reader(io.StringIO(_text(file, legal), newline=""), strict=True)
        return [[cell.strip() for cell in row] for row in rows if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"{file} is not readable as CSV ({error}); {legal}.") from error


def _text(file: Path, legal: str) -> str:
    try:
        # spreadsheets write a byte order mark
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); {legal}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no UTF-8 text ({error}); save it as UTF-8. {legal.capitalize()}.") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")
    return content
