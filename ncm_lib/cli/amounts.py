"""Large numbers and times in few digits."""

from __future__ import annotations


def si(value: float | int, unit: str) -> str:
    """A number of at least 0 in three digits with the fitting prefix.

    Example:
        >>> si(62.76e12, "FLOP"), si(512, "B")
        ('62.8 TFLOP', '512 B')
    """
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{_three_digits(value / factor)} {prefix}{unit}"
    return f"{_three_digits(value)} {unit}"


def duration(seconds: float | int) -> str:
    """A time in its two largest units.

    Example:
        >>> duration(0.123), duration(4321)
        ('0.12 s', '1 h 12 min')
    """
    whole = round(seconds)
    for length, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= length:
            return f"{whole // length} {name} {whole % length // part} {part_name}"
    return f"{seconds:.2g} s"


def _three_digits(value: float | int) -> str:
    return f"{value:.3g}" if value < 99.5 else f"{value:.0f}"
