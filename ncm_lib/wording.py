"""Numbers with the right form of their noun."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and what it counts.

    Args:
        number: at least 0.
        noun: for one.
        plural: for any other number; the noun with an s where it is None.

    Example:
        >>> counted(1, "image"), counted(0, "image"), counted(2, "class", "classes")
        ('1 image', '0 images', '2 classes')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
