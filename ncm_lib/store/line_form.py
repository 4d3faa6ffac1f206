"""The one form in which this software writes the lines of its logs, matched a thousand lines at a time."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..typing import Bool, Int64
from .layout import SUFFIXES, image_name, mask_name
from .manifest import Manifest
from .record import Array, Record

# Every part is narrower than what Record.from_json takes; a line that is not exactly so goes there instead.
_COUNT = "(?:0|[1-9][0-9]{0,14})"
# up to 2**53 = 9007199254740992, but for the last millionth
_SEED = f"(?:{_COUNT}|(?:[1-8][0-9]{{3}}|900[0-6])[0-9]{{12}}|90070[0-9]{{11}}|90071[0-8][0-9]{{10}})"
_NUMBER = r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,25})?(?:e-[0-9]{1,2})?"
_TEXT = r'"[ !#-\[\]-~]+"'
_SHA256 = '"[0-9a-f]{64}"'
# folder and stem of a file name, the stem's number without its zeros, and the folder as the stem's thousands
_PLACE = r"([0-9]{3}|[1-9][0-9]{3,4})/(?=0*(0|[1-9][0-9]*)\.)((?=[0-9]{8}\.)0{0,2}\1[0-9]{3})"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a scan wants to know of log lines, in their order."""

    offset: Int64[Array, " n"]
    """Of each line, in bytes from the start of what was read."""
    index: Int64[Array, " n"]
    bytes: Int64[Array, " n"]
    """Of the image file; -1 where the record does not tell."""
    has_mask: Bool[Array, " n"]

    @classmethod
    def of(cls, record: Record) -> Rows:
        """The row of a line that was parsed in full."""
        return cls(
            offset=np.array([0]),
            index=np.array([record.index]),
            bytes=np.array([-1 if record.bytes is None else record.bytes]),
            has_mask=np.array([record.mask_file_name is not None]),
        )


class LineForm:
    """Matches the lines that this software writes for one data set, byte for byte.

    Whatever it takes is a record of this data set that ``Record.from_json`` takes too, with the same values; it is
    allowed to refuse good lines, and those are then parsed in full.

    Args:
        manifest: of the data set, whose plan, classes, format and count the lines must fit.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        """The data set's head."""
        text = r'"file_name": "images/{place}{suffix}", '
        text += r'"mask_file_name": (?:null, "mask_sha256": null|"masks/\1/\3\.(p)ng", "mask_sha256": {sha256}), '
        text += r'"index": \2, "seed": {seed}, "class_ids": \[({count}(?:, {count})*)\], '
        text += r'"weights": \[({number}(?:, {number})*)\], "box": (?:null|\[{count}, {count}, {count}, {count}\]), '
        text += r'"method": {text}, "start": "(?:noise|image|circle)", "source": (?:null|{text}), '
        text += r'"source_b": (?:null|{text}), "strength": (?:null|{number}), "u": (?:null|{number}), '
        text += r'"plan_hash": {plan_hash}, "bytes": ({count}), "renderer": (?:null|{text})'
        line = text.format(
            place=_PLACE,
            suffix=re.escape(SUFFIXES[manifest.image_format]),
            sha256=_SHA256,
            seed=_SEED,
            count=_COUNT,
            number=_NUMBER,
            text=_TEXT,
            plan_hash=re.escape(json.dumps(manifest.plan_hash)),
        )
        self._lines = re.compile(rf"^\{{{line}\}}\n".encode("ascii"), re.MULTILINE)

    def rows(self, lines: bytes) -> Rows | None:
        """Read whole lines, each with its line break, or None where one of them is not of the form."""
        ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == ord("\n"))
        found = self._lines.findall(lines)
        # as many matches as lines, each of exactly one line: so all of them are
        if not found or len(found) != len(ends) or not lines.endswith(b"\n"):
            return None
        _, index, _, has_mask, class_ids, weights, size = zip(*found, strict=True)
        if [ids.count(b",") for ids in class_ids] != [values.count(b",") for values in weights]:
            return None
        rows = Rows(
            offset=np.concatenate(([0], ends[:-1] + 1)).astype(np.int64),
            index=np.array(list(map(int, index)), dtype=np.int64),
            bytes=np.array(list(map(int, size)), dtype=np.int64),
            has_mask=np.array(list(map(bool, has_mask)), dtype=np.bool_),
        )
        largest = max(map(int, b", ".join(class_ids).split(b", ")))
        fits = largest < len(self.manifest.classes) and int(rows.index.max()) < self.manifest.count
        return rows if fits else None

    def label(self, line: bytes) -> tuple[list[int], list[float]] | None:
        """Class ids and weights of one line with its line break, or None where it is not of the form."""
        match = self._lines.fullmatch(line)
        if match is None:
            return None
        class_ids, weights = (cast("bytes", match[group]).split(b", ") for group in (5, 6))
        if len(class_ids) != len(weights):
            return None
        ids = list(map(int, class_ids))
        return (ids, list(map(float, weights))) if max(ids) < len(self.manifest.classes) else None

    def misfit(self, record: Record) -> str | None:
        """Why a record cannot be of this data set, or None."""
        manifest, index = self.manifest, record.index
        if index >= manifest.count:
            return f"the data set has {manifest.count} samples"
        if record.plan_hash != manifest.plan_hash:
            return "it belongs to another plan"
        if max(record.class_ids) >= len(manifest.classes):
            return f"it names class {max(record.class_ids)} of {len(manifest.classes)}"
        image, mask = image_name(index, manifest.image_format), mask_name(index)
        if record.file_name != image or record.mask_file_name not in (None, mask):
            return f"its file names are {record.file_name!r} and {record.mask_file_name!r}"
        return None
