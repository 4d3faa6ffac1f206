"""``--ray [ADDRESS]``: an option whose value may be left out."""

from __future__ import annotations

from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from ..errors import InputError

LOCAL = "local"


def _parse(words: list[str]) -> str:
    if len(words) > 1:
        raise InputError(f"--ray got {' '.join(words)!r}; legal is one address (auto, host:port) or none.")
    return words[0] if words else LOCAL


RayAddress = Annotated[
    str | None,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[ADDRESS]",
        instance_from_str=_parse,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: ["not used"] if value is None else [value],
    ),
]
"""None: without Ray. ``LOCAL``: given without a value."""
