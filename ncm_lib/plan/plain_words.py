"""What is wrong with options, said without the words of the library that checks them."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

_SHOWN = 60
_TAKES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list with an entry or more",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "{le:g} or less",
}


def plain_words(error: ValidationError, kind: type[BaseModel], content: object) -> str:
    """The first thing that is wrong, in one clause: where it stands, what came, and what is legal.

    Args:
        error: of a validation of ``content``.
        kind: the model that it was checked by.
        content: what came.

    Example:
        >>> class Options(BaseModel, extra="forbid"):
        ...     epochs: int = 1
        >>> try:
        ...     Options.model_validate({"epoch": 2})
        ... except ValidationError as error:
        ...     plain_words(error, Options, {"epoch": 2})
        "there is no option 'epoch'; did you mean 'epochs'?"
    """
    details: list[Any] = list(error.errors(include_url=False))
    first = details[0]
    place = _place(first, content)
    name = ".".join(map(str, place))
    if first["type"] in ("value_error", "recursion_loop"):
        text = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
        return f"{name}: {text}" if name else text
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        return _no_such(place, _fields(kind, place[:-1]))
    # a value that may be of several kinds is complained about once for each
    takes = [_TAKES[one["type"]].format(**one.get("ctx", {})) for one in details
             if _place(one, content) == place and one["type"] in _TAKES]  # fmt: skip
    text = repr(first["input"])
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    legal = " or ".join(dict.fromkeys(takes))
    return f"{name or 'the whole'} is {text}" + (f"; it takes {legal}" if legal else ", which is not legal")


def _place(detail: Mapping[str, Any], content: object) -> list[str | int]:
    """Keys and indices of a value in what came, without the names of the kinds that were tried."""
    value: Any = content
    place: list[str | int] = []
    for step in detail["loc"]:
        inside = True
        try:
            value = value[step]
        except (LookupError, TypeError):
            inside = False
        if inside or (detail["type"] == "missing" and step == detail["loc"][-1]):
            place.append(step)
    return place


def _no_such(place: list[str | int], known: list[str]) -> str:
    name = str(place[-1])
    where = f"{'.'.join(map(str, place[:-1]))}: " if place[:-1] else ""
    if close := difflib.get_close_matches(name, known, n=1):
        return f"{where}there is no option {name!r}; did you mean {close[0]!r}?"
    return f"{where}there is no option {name!r}; there are {', '.join(sorted(known))}"


def _fields(kind: Any, place: list[str | int]) -> list[str]:
    """Options of the table at a place."""
    for step in place:
        model = _model(kind)
        inside = typing.get_origin(kind) in (tuple, list, dict)  # the step is a number, or a name that the user chose
        if inside or model is None:
            kind = model
        elif step in model.model_fields:
            kind = model.model_fields[str(step)].annotation
    found = _model(kind)
    return [] if found is None else list(found.model_fields)


def _model(kind: Any) -> type[BaseModel] | None:
    """The options that a type holds: itself, or as an argument, such as ``Options | None``."""
    return next(
        (one for one in (kind, *typing.get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)), None
    )
