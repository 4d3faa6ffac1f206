"""Exceptions as the one message that a user needs."""

from __future__ import annotations

from pydantic import ValidationError

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


def message(error: Exception) -> str:
    """One line: what came, what is legal."""
    if isinstance(error, ValidationError):
        return "; ".join(_field_message(dict(detail)) for detail in error.errors(include_url=False))
    return str(error)


def _field_message(detail: dict[str, object]) -> str:
    place = detail["loc"]
    name = "--" + "-".join(str(part).replace("_", "-") for part in place) if isinstance(place, tuple) and place else ""
    text = str(detail["msg"]).removeprefix("Value error, ")
    return f"{name} got {detail['input']!r}: {text[:1].lower()}{text[1:]}" if name else text
