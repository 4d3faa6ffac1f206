"""What is known about one image of a data set."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

import numpy as np

from ..errors import InputError
from ..plan.sample import BoxMask, CirclePoint, NoisedImage, Sample
from ..typing import Float32
from .layout import image_name

Array = np.ndarray[Any, np.dtype[Any]]

Start = Literal["noise", "image", "circle"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One image's record: a line of ``metadata.jsonl``, and a copy in the image file itself.

    Every key is always there, with one JSON type, null where it does not apply. The copy in the image is the same but
    for ``bytes``, which is null there (a file cannot hold its own size); the log's line has the number.
    """

    file_name: str
    mask_file_name: str | None = None
    """The share of the first class in ``class_ids`` per mask cell; null where no mask was kept."""
    mask_sha256: str | None = None
    """Of the mask's content (``images.mask_sha256``), for every mask that is kept: its mean alone would not tell
    a box from the same box elsewhere."""
    index: int
    seed: int
    class_ids: tuple[int, ...]
    weights: tuple[float, ...]
    box: tuple[int, int, int, int] | None = None
    """x0, y0, x1, y1 in latent cells, half open."""
    method: str
    start: Start = "noise"
    source: str | None = None
    """Content hash of the real image that denoising started from."""
    source_b: str | None = None
    strength: float | None = None
    u: float | None = None
    """Position on the circle between two inverted images, in [0, 1]."""
    plan_hash: str
    bytes: int | None = None
    """Size of the image file."""
    renderer: str | None = None

    @classmethod
    def from_sample(cls, sample: Sample, *, method: str, plan_hash: str, renderer: str | None = None) -> Record:
        """The record of a planned sample. The writer fills in file names, the mask's sha256 and the size."""
        start = sample.start
        circle = start if isinstance(start, CirclePoint) else None
        image = start if isinstance(start, NoisedImage) else None
        box = sample.mask.box if isinstance(sample.mask, BoxMask) else None
        return cls(
            file_name=image_name(sample.index),
            index=sample.index,
            seed=sample.seed,
            class_ids=tuple(share.class_id for share in sample.label),
            weights=tuple(share.weight for share in sample.label),
            box=None if box is None else (int(box.x0), int(box.y0), int(box.x1), int(box.y1)),
            method=method,
            start="circle" if circle else "image" if image else "noise",
            source=circle.source_a if circle else image.source if image else None,
            source_b=None if circle is None else circle.source_b,
            strength=None if image is None else image.strength,
            u=None if circle is None else circle.u,
            plan_hash=plan_hash,
            renderer=renderer,
        )

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Record:
        """Parse one JSON object with exactly the keys of the format.

        Args:
            text: the object; bytes are UTF-8.
            where: file and line for the message.

        Raises:
            InputError: no JSON, a missing or unknown key, a wrong type or an impossible value.
        """
        try:
            values: object = _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where} is no complete JSON record ({error}). {_REMEDY}") from error
        if not isinstance(values, dict):
            raise InputError(f"{where} holds {type(values).__name__}; legal is one JSON object per line. {_REMEDY}")
        row = cast("dict[str, Any]", values)
        if row.keys() != _CHECKS.keys():
            missing = sorted(_CHECKS.keys() - row.keys())
            unknown = sorted(row.keys() - _CHECKS.keys())
            raise InputError(
                f"{where} has not the keys of a record: missing {missing or 'none'}, unknown {unknown or 'none'}. "
                + _REMEDY
            )
        for key, (check, legal) in _CHECKS.items():
            if not check(row[key]):
                raise InputError(f"{where}: {key} is {row[key]!r:.100}; legal is {legal}. {_REMEDY}")
        if len(row["class_ids"]) != len(row["weights"]):
            raise InputError(
                f"{where}: {len(row['class_ids'])} class_ids and {len(row['weights'])} weights; "
                f"legal is one weight per class. {_REMEDY}"
            )
        if (row["mask_file_name"] is None) != (row["mask_sha256"] is None):
            raise InputError(
                f"{where}: mask_file_name is {row['mask_file_name']!r:.100} and mask_sha256 is "
                f"{row['mask_sha256']!r}; legal is both or neither. {_REMEDY}"
            )
        row["class_ids"] = tuple(row["class_ids"])
        row["weights"] = tuple(map(float, row["weights"]))
        if row["box"] is not None:
            row["box"] = tuple(row["box"])
        for key in ("strength", "u"):
            if row[key] is not None:
                row[key] = float(row[key])
        return cls(**row)

    def to_json(self) -> str:
        """One line of ASCII JSON, the keys in the format's order; equal records give equal text everywhere."""
        return json.dumps({name: getattr(self, name) for name in _CHECKS}, ensure_ascii=True, allow_nan=False)

    def embedded(self) -> Record:
        """The copy that goes into the image file: without the file's own size."""
        return dataclasses.replace(self, bytes=None)

    def soft_label(self, num_classes: int) -> Float32[Array, " c"]:
        """The label as a dense row that sums to one.

        Raises:
            InputError: a class id is not below ``num_classes``.
        """
        if max(self.class_ids) >= num_classes:
            raise InputError(
                f"Record {self.index} names class {max(self.class_ids)}, and the data set has the classes "
                f"0..{num_classes - 1}: dataset.json and the records do not belong together. Restore one of them."
            )
        dense = np.zeros(num_classes, dtype=np.float64)
        np.add.at(dense, list(self.class_ids), self.weights)
        return dense.astype(np.float32)


_REMEDY = "Run the same generation again: it reads the copy in the image, or makes the image anew."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""Made once: json.loads would make one per line."""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast(float, value))


def _is_text(value: object) -> bool:
    return type(value) is str and bool(value)


def _is_sha256(value: object) -> bool:
    return type(value) is str and re.fullmatch("[0-9a-f]{64}", value) is not None


def _list_of(check: Callable[[object], bool], value: object) -> bool:
    return type(value) is list and all(map(check, cast("list[object]", value)))


def _optional(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "file_name": (_is_text, "text"),
    "mask_file_name": (_optional(_is_text), "text or null"),
    "mask_sha256": (_optional(_is_sha256), "64 hexadecimal digits or null"),
    "index": (_is_count, "a whole number from 0 to 2**53 - 1"),
    "seed": (_is_count, "a whole number from 0 to 2**53 - 1"),
    "class_ids": (lambda value: bool(value) and _list_of(_is_count, value), "a list of class numbers, at least one"),
    "weights": (
        lambda value: _list_of(_is_number, value) and min(value, default=0) >= 0,
        "a list of finite numbers, none below 0",
    ),
    "box": (
        _optional(lambda value: _list_of(_is_count, value) and len(cast("list[object]", value)) == 4),
        "four whole numbers x0, y0, x1, y1, or null",
    ),
    "method": (_is_text, "text"),
    "start": (lambda value: value in ("noise", "image", "circle"), "'noise', 'image' or 'circle'"),
    "source": (_optional(_is_text), "text or null"),
    "source_b": (_optional(_is_text), "text or null"),
    "strength": (_optional(_is_number), "a finite number or null"),
    "u": (_optional(_is_number), "a finite number or null"),
    "plan_hash": (_is_text, "text"),
    "bytes": (_optional(_is_count), "a whole number or null"),
    "renderer": (_optional(_is_text), "text or null"),
}
