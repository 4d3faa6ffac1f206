"""Prompts: a template with the class's words filled in."""

from __future__ import annotations

import re

from ..errors import InputError
from .classes import ClassList

DEFAULT_TEMPLATE = "a photo of a {class} {metaclass}"
"""NoiseCutMix 4.3 (the reference code's "a phot of a" is a typo: its weights were trained with "photo")."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def class_prompts(classes: ClassList, template: str = DEFAULT_TEMPLATE) -> tuple[str, ...]:
    """The prompt of every class, in the order of the class ids.

    ``{class}`` becomes the class's learned token where it has one, else its name with "/" and "_" as spaces;
    ``{metaclass}`` becomes the metaclass. Runs of spaces become one, so an empty metaclass leaves no trace.

    Args:
        classes: C classes.
        template: text with ``{class}`` and, if wanted, ``{metaclass}``.

    Returns:
        C prompts.

    Raises:
        InputError: the template has no ``{class}``, or a placeholder of another name.

    Example:
        >>> class_prompts(ClassList.of(["Black_footed/Albatross"], meta_class="bird"))
        ('a photo of a Black footed Albatross bird',)
    """
    found = _PLACEHOLDER.findall(template)
    unknown = sorted(set(found) - {"class", "metaclass"})
    if unknown or "class" not in found:
        what = f"has the unknown placeholders {unknown}" if unknown else "does not contain {class}"
        raise InputError(f"The prompt template {template!r} {what}; use {{class}} and, if wanted, {{metaclass}}.")
    words = classes.tokens or tuple(re.sub(r"[/_]", " ", name) for name in classes.names)

    def fill(word: str) -> str:
        text = _PLACEHOLDER.sub(lambda match: word if match[1] == "class" else classes.meta_class, template)
        return " ".join(text.split())

    return tuple(fill(word) for word in words)
