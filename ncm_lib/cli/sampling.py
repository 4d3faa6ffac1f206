"""Options that say how many images of which class, and read what that takes from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..plan.classes import ClassList


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many images of which class."""

    data: Path | None = None
    """The real images, to be counted per class: all that load_source reads (an image folder with one sub-folder per
    class, a folder with metadata.csv, saved data sets, shards), or a JSON or CSV file of counts. The plan then makes as
    many images per class (--multiplier, --balance and --top-up change that)."""
    multiplier: float | None = None
    """With --data: so many times the real images of each class."""
    balance: bool = False
    """With --data: fill every class up, so that real and made images together are as many for all classes."""
    top_up: int | None = None
    """With --data: fill up to this many real and made images for every class that has fewer (long tails)."""

    def fields(self, classes: ClassList, options: dict[str, Any]) -> dict[str, Any]:
        """The fields of a method's config that these options stand for, beside the method's own ``options``.

        Raises:
            InputError: options that do not go together, or a file that does not fit the classes.
        """
        return options | self._counts(classes, options)

    def _counts(self, classes: ClassList, options: dict[str, Any]) -> dict[str, Any]:
        from ..plan.counts import synthetic_counts
        from ..sources.counts import count_images

        asked = {"--multiplier": self.multiplier, "--balance": self.balance or None, "--top-up": self.top_up}
        if self.data is None:
            if given := [option for option, value in asked.items() if value is not None]:
                raise InputError(
                    f"{' and '.join(given)} came without --data; give --data PATH, the image folder or the counts of "
                    "the real images."
                )
            return {}
        if taken := [name for name in ("class_a", "class_counts") if options.get(name) is not None]:
            raise InputError(
                f"--data and --{taken[0].replace('_', '-')} both say how often a class is made; give one of the two."
            )
        try:
            real = count_images(self.data, classes)
        except InputError as error:
            if not self.data.is_dir() or "It needs each of the" not in str(error):
                raise
            raise InputError(f"{error} To make the classes of {self.data}, take --classes {self.data}.") from error
        counts = synthetic_counts(real, multiplier=self.multiplier, balance=self.balance, top_up=self.top_up)
        return {"class_counts": tuple(counts)}


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Which classes are taken for which."""

    confusion: Path | None = None
    """For --pair-policy confusion: CSV or JSON matrix with the class names. The row of a class says how often it was
    taken for which other."""

    def matrix(self, classes: ClassList) -> dict[str, Any]:
        """The field of a method's config that the option stands for.

        Raises:
            InputError: a file that does not fit the classes.
        """
        from ..plan.confusion import load_confusion

        return {} if self.confusion is None else {"confusion": load_confusion(self.confusion, classes)}


@dataclass(frozen=True, kw_only=True)
class Sampling(Counts, Confusion):
    """How many images of which class, and which classes meet."""

    def fields(self, classes: ClassList, options: dict[str, Any]) -> dict[str, Any]:
        """The fields of a method's config that these options stand for, beside the method's own ``options``.

        Raises:
            InputError: options that do not go together, or a file that does not fit the classes.
        """
        return super().fields(classes, options) | self.matrix(classes)


def sample_count(asked: int | None, fields: dict[str, Any]) -> int:
    """How many samples the data set is to have: what was asked for, else one round of the class counts.

    Raises:
        InputError: neither says so.
    """
    counts = fields.get("class_counts")
    if asked is None and counts is None:
        raise InputError(
            "How many images are to be made? Give --count N, or --data PATH with the real images, to make as many as "
            "there are of each class."
        )
    return sum(counts or ()) if asked is None else asked
