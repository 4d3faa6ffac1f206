"""Progress bars that tell a rate as so many per second, however slow it is."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

_FORM = "{desc}{percentage:3.0f}% |{bar}| {n:.0f}/{total} {unit} {speed}  ETA {left}{postfix}"


class Bar(tqdm):
    """tqdm with the rate and the time left of the whole run.

    Args:
        total: how many there are.
        unit: of what, in the plural.
        initial: done before.
        options: of tqdm.
    """

    fraction: float | None = None
    """Share of this run's work that is finished, where that is known more finely than by the count."""

    def __init__(self, total: int, unit: str, initial: int = 0, **options: Any) -> None:
        # miniters 0: it is drawn again as time goes by, also where the count stands still
        super().__init__(total=total, unit=unit, initial=initial, miniters=0, bar_format=_FORM, **options)

    def reach(self, done: int, fraction: float | None = None) -> None:
        """Show that so many are done in all, and perhaps how much of the work is."""
        self.fraction = fraction
        self.update(done - self.n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What ``_FORM`` is filled with."""
        facts = dict(super().format_dict)
        here, seconds = facts["n"] - facts["initial"], facts["elapsed"]
        share = self.fraction
        if share is None:
            share = here / max(facts["total"] - facts["initial"], 1)
        facts["speed"] = f"{_digits(here / seconds)} {self.unit}/s" if here and seconds else f"? {self.unit}/s"
        facts["left"] = tqdm.format_interval(seconds * (1 - share) / share) if share > 0 else "?"
        return facts


def _digits(rate: float) -> str:
    """Three digits.

    Example:
        >>> _digits(0.01234), _digits(123.4)
        ('0.0123', '123')
    """
    return f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"
