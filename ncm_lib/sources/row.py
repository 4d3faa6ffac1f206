"""One image of a listing."""

from __future__ import annotations

from dataclasses import dataclass

SHORT = 16
"""Hexadecimal digits of a short hash: two of a million images share one with a probability of 3e-8."""


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """One row of a listing."""

    content_hash: str
    """sha256 of the file's bytes, 64 hexadecimal digits; the first ``SHORT`` are its short form."""
    class_id: int
    width: int
    """As ``read`` returns it: EXIF rotation is applied."""
    height: int
    byte_size: int
    where: str
    """The file, for people; never part of a hash or of a data set."""
