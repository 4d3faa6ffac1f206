"""Real images by content: what methods plan from and trainings read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.pool import PoolListing
from ..typing import Int32, Int64, UInt8
from .distinct import words_of
from .files import ImageFiles
from .images import REMEDY, BadImageError, read_image
from .notes import listed, printable
from .row import SHORT, SourceImage
from .subsets import chosen_rows

_LEAST_DIGITS = 8
_VERSION = b"ncm-sources-1\n"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SourceListing:
    """Real images as columns, sorted by class id and then by content hash.

    Row, order and hash of a listing depend on the class list and on what is in the files: never on their names,
    folders, dates, or on the form of the source. Equal content stands once. It takes about 60 bytes per image beside
    the names.

    Example:
        >>> from pathlib import Path
        >>> import ncm_lib as ncm
        >>> for place, colour in {"robin/1.png": "red", "robin/2.png": "brown", "wren/1.png": "tan"}.items():
        ...     Path("birds", place).parent.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (8, 6), colour).save(Path("birds", place))
        >>> birds = ncm.load_source("birds")
        >>> birds.classes.names, birds.class_counts().tolist(), list(birds.of_class(1))
        (('robin', 'wren'), [2, 1], [2])
        >>> birds[0].width, birds.read(0).size
        (8, (8, 6))
    """

    classes: ClassList
    class_ids: Int32[np.ndarray, " n"]
    digests: UInt8[np.ndarray, "n 32"]
    """sha256 of every file's bytes."""
    widths: Int32[np.ndarray, " n"]
    heights: Int32[np.ndarray, " n"]
    byte_sizes: Int64[np.ndarray, " n"]
    positions: Int64[np.ndarray, " n"]
    """Of every image in ``files``."""
    files: ImageFiles
    form: str
    """What the source turned out to be: "image folder", "metadata.csv", "WebDataset"..."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    def __post_init__(self) -> None:
        for column in (
            self.class_ids, self.digests, self.widths, self.heights, self.byte_sizes, self.positions
        ):  # fmt: skip
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.class_ids)

    def __iter__(self) -> Iterator[SourceImage]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> SourceImage:
        row = self._checked(row)
        return SourceImage(
            content_hash=self.digests[row].tobytes().hex(),
            class_id=int(self.class_ids[row]),
            width=int(self.widths[row]),
            height=int(self.heights[row]),
            byte_size=int(self.byte_sizes[row]),
            where=self.files.name(int(self.positions[row])),
        )

    def __eq__(self, other: object) -> bool:
        return self.hash() == other.hash() if isinstance(other, SourceListing) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash())

    def __repr__(self) -> str:
        return f"SourceListing({len(self)} images, {len(self.classes)} classes, {self.hash()[:SHORT]})"

    def hash(self) -> str:
        """sha256 over the class names and the content hashes of every class: what a ``plan_hash`` includes.

        It is taken of ``ncm-sources-1``, a line of JSON with the names (ASCII), and for each class the number of its
        images (8 bytes, little endian) and their digests (32 bytes each).
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        names = json.dumps(self.classes.names, ensure_ascii=True, separators=(",", ":"))
        total = hashlib.sha256(_VERSION + names.encode() + b"\n")
        for class_id in range(len(self.classes)):
            rows = self.of_class(class_id)
            total.update(len(rows).to_bytes(8, "little"))
            total.update(self.digests[rows.start : rows.stop].tobytes())
        return total.hexdigest()

    def class_counts(self) -> Int64[np.ndarray, " classes"]:
        """The number of images of every class, 0 included."""
        return np.bincount(self.class_ids, minlength=len(self.classes)).astype(np.int64)

    def of_class(self, class_id: int) -> range:
        """The rows of a class.

        Raises:
            InputError: there is no such class.
        """
        if not 0 <= class_id < len(self.classes):
            raise InputError(f"There is no class {class_id}; the listing has the classes 0 to {len(self.classes) - 1}.")
        start, stop = np.searchsorted(self.class_ids, [class_id, class_id + 1])
        return range(int(start), int(stop))

    def hashes_of(self, class_id: int) -> tuple[str, ...]:
        """The content hashes of a class, sorted."""
        return tuple(self.digests[row].tobytes().hex() for row in self.of_class(class_id))

    @property
    def listing(self) -> PoolListing:
        """The content hashes by class, which methods that start from real images plan with."""
        return PoolListing(images=tuple(map(self.hashes_of, range(len(self.classes)))))

    def row_of(self, content_hash: str) -> int:
        """The row of an image.

        Args:
            content_hash: all of it, or at least its first 8 digits.

        Raises:
            InputError: no image, or more than one, has such a hash.
        """
        text = content_hash.lower()
        if not _LEAST_DIGITS <= len(text) <= 64 or set(text) - set("0123456789abcdef"):
            raise InputError(f"{content_hash!r} is no content hash; legal are 8 to 64 hexadecimal digits.")
        order, words = self._by_content
        low, high = (np.uint64(int(text[:16].ljust(16, fill), 16)) for fill in "0f")
        start, stop = np.searchsorted(words, low), np.searchsorted(words, high, side="right")
        rows = [int(row) for row in order[start:stop] if self.digests[row].tobytes().hex().startswith(text)]
        if len(rows) != 1:
            raise InputError(
                f"{len(rows)} images have a content hash that begins with {content_hash}; "
                + ("give more of its digits." if rows else "was this listing made from another source?")
            )
        return rows[0]

    @cached_property
    def _by_content(self) -> tuple[np.ndarray[Any, np.dtype[Any]], np.ndarray[Any, np.dtype[Any]]]:
        words = words_of(self.digests)[:, 0]
        order = np.argsort(words, kind="stable")
        return order, words[order]

    def read(self, image: int | str) -> Image.Image:
        """Read an image as an upright RGB picture (see ``read_image``).

        Args:
            image: a row, or a content hash.

        Raises:
            InputError: there is no such image, or its file is gone, damaged, or not what it was when it was listed.
        """
        row = self.row_of(image) if isinstance(image, str) else self._checked(image)
        position = int(self.positions[row])
        where = printable(self.files.name(position))
        try:
            data = self.files.read(position)
        except BadImageError as error:
            raise InputError(f"{where} {error}; {REMEDY}.") from error
        if hashlib.sha256(data).digest() != self.digests[row].tobytes():
            raise InputError(f"{where} has changed since it was listed; list the source again.")
        return read_image(data, where)

    def take(self, rows: Sequence[int] | Int64[np.ndarray, " rows"]) -> SourceListing:
        """A listing of these rows alone; their order does not matter.

        Raises:
            InputError: a row is out of range.
        """
        kept = np.unique(np.asarray(rows, dtype=np.int64))
        for row in (*kept[:1], *kept[-1:]):
            self._checked(int(row))
        return replace(
            self,
            class_ids=self.class_ids[kept],
            digests=self.digests[kept],
            widths=self.widths[kept],
            heights=self.heights[kept],
            byte_sizes=self.byte_sizes[kept],
            positions=self.positions[kept],
        )

    def with_classes(self, classes: ClassList) -> SourceListing:
        """The same images under a class list of the same names: with a metaclass, or with learned tokens.

        Raises:
            InputError: the names are others, or stand in another order.
        """
        if classes.names != self.classes.names:
            raise InputError(
                f"The class list has the names {listed(classes.names)}; this listing has {listed(self.classes.names)}. "
                "Give it to load_source (classes=), which finds each image's class in it."
            )
        return replace(self, classes=classes)

    def subset(self, per_class: int | Sequence[int], seed: int = 0) -> SourceListing:
        """Choose images of every class at random: k-shot, or a long tail with given counts.

        Whether an image is chosen depends on the seed, its content and the other images of its class; not on their
        order or names. Of one seed, fewer images per class are a part of more.

        Args:
            per_class: images of every class, or one number per class.
            seed: at least 0.

        Raises:
            InputError: a class has fewer images than were asked for, or the counts do not fit the classes.
        """
        return self.take(chosen_rows(self.digests, self.class_counts(), per_class, seed, self.classes))

    def _checked(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise InputError(f"There is no row {row}; the listing has {len(self)} rows, counted from 0.")
        return row
