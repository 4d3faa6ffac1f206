"""What a source holds, before any image is opened."""

from __future__ import annotations

from dataclasses import dataclass

from .files import ImageFiles
from .labels import Labels


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The files of a source and their labels; what each form of source is read into."""

    form: str
    """What the source turned out to be, for people."""
    files: ImageFiles
    labels: Labels
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read on the way, a sentence each."""
    digits_are_names: bool = False
    may_be_captions: bool = False
    """Labels come from texts that other data sets use for captions."""
