"""What was left out or done on the way, counted for the reader."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 3


class Tally:
    """Counts names under headings and keeps the first few of each, so that a million of them cost nothing."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, heading: str, name: str) -> None:
        """Count ``name`` under ``heading``: "hidden files, left out"."""
        self._counts[heading] = self._counts.get(heading, 0) + 1
        examples = self._examples.setdefault(heading, [])
        if len(examples) < _SHOWN:
            examples.append(name)

    def lines(self) -> tuple[str, ...]:
        """One line for every heading, with its number and its first names."""
        return tuple(
            f"{heading}: {number} ({listed(self._examples[heading], number)})"
            for heading, number in self._counts.items()
        )


def listed(names: Iterable[str], number: int | None = None, most: int = _SHOWN) -> str:
    """The first ``most`` names, and how many more there are of ``number`` in all.

    Example:
        >>> listed(["robin", "wren", "jay", "owl"])
        'robin, wren, jay and 1 more'
    """
    shown = list(names)
    number = len(shown) if number is None else number
    text = ", ".join(map(printable, shown[:most]))
    return text if number <= most else f"{text} and {number - most} more"


def printable(text: str) -> str:
    r"""The text on one line, whatever bytes a file name holds: what cannot be printed is escaped.

    Example:
        >>> printable("two\nlines")
        'two\\nlines'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
