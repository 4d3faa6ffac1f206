"""The user's classes among those that were learned."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from ..errors import InputError
from ..plan.classes import ClassList


def learned_classes(classes: ClassList, learned: ClassList) -> ClassList:
    """The user's classes with the tokens of the learned ones; what ``ConceptSet.classes_for`` gives.

    Args:
        classes: what the user wants.
        learned: a class list with tokens.

    Raises:
        InputError: a class that was not learned, or two names of one.
    """
    exact = dict(zip(learned.names, learned.tokens, strict=True))
    spaced: dict[str, str] = {}
    for name, tokens in exact.items():
        spaced.setdefault(_with_spaces(name), tokens)
    missing = [name for name in classes.names if name not in exact and _with_spaces(name) not in spaced]
    if missing:
        near = difflib.get_close_matches(_with_spaces(missing[0]), spaced, n=3, cutoff=0.4)
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        known = ", ".join(map(repr, near or [*learned.names[:5]]))
        raise InputError(
            f"The concepts were not learned for {shown}; they know {len(learned)} classes, near: {known}. "
            'Take a class list whose names are among them ("/" and "_" count as spaces), or concepts of these classes.'
        )
    tokens = tuple(exact.get(name) or spaced[_with_spaces(name)] for name in classes.names)
    if len(set(tokens)) < len(tokens):
        twice = [name for name, words in zip(classes.names, tokens, strict=True) if tokens.count(words) > 1]
        raise InputError(f"The classes {', '.join(map(repr, twice[:5]))} mean the same learned class; give it once.")
    return replace(classes, meta_class=classes.meta_class or learned.meta_class, tokens=tokens)


def _with_spaces(name: str) -> str:
    """A class name with "/" and "_" as spaces."""
    return " ".join(re.sub(r"[/_]", " ", name).split())
