"""From a path to a listing: what kind of source it is is found by looking."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..wording import counted
from .contents import Progress, read_contents
from .distinct import Conflicts, distinct_rows
from .labels import resolve
from .listing import SourceListing
from .notes import listed
from .recognise import LEGAL, recognise
from .scan import Scan

BadImages = Literal["refuse", "skip"]
"""What becomes of files that cannot be used as images: an error that names them, or a note."""


def load_source(
    source: str | Path,
    *,
    classes: ClassList | None = None,
    split: str | None = None,
    label_column: str | None = None,
    bad_images: BadImages = "refuse",
    conflicts: Conflicts = "refuse",
    decode: bool = False,
    on_progress: Progress | None = None,
) -> SourceListing:
    """List the real images of a source by content hash.

    What the source is is found by looking, and ``listing.form`` says it:

    - a folder with one sub-folder per class, images at any depth below;
    - a folder with images and a ``metadata.csv`` or ``metadata.jsonl`` (columns ``file_name`` and ``label``);
    - a ``.csv``, ``.tsv`` or ``.jsonl`` file that lists images anywhere on this machine;
    - a folder that Hugging Face's datasets saved (``save_to_disk``), and ``.parquet`` or ``.arrow`` files;
    - WebDataset shards (uncompressed ``.tar``), or a folder of shards.

    Only local files are read. Hidden files, files that are no images, links in a circle and repeated content are left
    out; ``listing.notes`` says so.

    Args:
        source: the path.
        classes: the class list that the labels are found in; by default the names in the source, sorted (in the
            source's own order where it states one).
        split: the part of the source to read, where it has several ("train").
        label_column: the column of the labels in a table, where its name does not say so.
        bad_images: ``"refuse"`` stops where a file cannot be used as an image; ``"skip"`` leaves such files out.
        conflicts: ``"refuse"`` stops where two classes hold equal content; ``"drop"`` leaves it out of both.
        decode: decode all pixels while listing, which takes several times as long. It finds damage inside of files;
            without it that is found when they are read, and only files that are cut off are found here.
        on_progress: called with the number of files that are done, and of all.

    Returns:
        The listing, sorted by class and content hash.

    Raises:
        InputError: nothing is there, it is no source, labels and classes do not fit, or see ``bad_images`` and
            ``conflicts``; the message says what is legal.
        MissingExtraError: pyarrow is needed and not installed.
    """
    scan = recognise(Path(source).absolute(), split=split, label_column=label_column)
    if classes is None and scan.may_be_captions and len(scan.labels.values) == len(scan.files) > 1:
        raise InputError(
            f"Every image in {source} has a text of its own ({listed(map(str, scan.labels.values))}): these are "
            "captions, not classes. Put the classes in .cls or .json members, or give the class list (classes=)."
        )
    return listing_of(
        scan,
        str(source),
        classes=classes,
        bad_images=bad_images,
        conflicts=conflicts,
        decode=decode,
        on_progress=on_progress,
    )


def listing_of(
    scan: Scan,
    source: str,
    *,
    classes: ClassList | None = None,
    bad_images: BadImages = "refuse",
    conflicts: Conflicts = "refuse",
    decode: bool = False,
    on_progress: Progress | None = None,
) -> SourceListing:
    """From the files and labels of a source to its listing; the arguments are those of ``load_source``.

    Args:
        scan: what the source holds.
        source: what messages call it.
        classes: see there, as the others.
        bad_images: see there.
        conflicts: see there.
        decode: see there.
        on_progress: see there.

    Raises:
        InputError: see there.
    """
    found, class_ids = resolve(scan.labels, classes, source, digits_are_names=scan.digits_are_names)
    contents = read_contents(scan.files, decode=decode, on_progress=on_progress)
    notes = [*scan.notes, *contents.notes]
    bad = int((~contents.good).sum()) + len(scan.problems)
    if bad:
        text = listed([*scan.problems, *contents.problems], bad)
        if bad_images != "skip":
            raise InputError(
                f"{bad} of {counted(len(scan.files), 'file')} in {source} cannot be used: {text}. Save them again as "
                'JPEG or PNG or delete them, or leave them out (bad_images="skip").'
            )
        notes.append(f"files that cannot be used, left out: {bad} ({text})")
    good = np.flatnonzero(contents.good)
    if not len(good):
        raise InputError(f"{source} holds no images; {LEGAL}.")
    kept, more = distinct_rows(
        class_ids[good], contents.digests[good], found, lambda row: scan.files.name(int(good[row])), conflicts
    )
    rows = good[kept]
    return SourceListing(
        classes=found,
        class_ids=class_ids[rows],
        digests=contents.digests[rows],
        widths=contents.widths[rows],
        heights=contents.heights[rows],
        byte_sizes=contents.sizes[rows],
        positions=rows,
        files=scan.files,
        form=scan.form,
        notes=(*notes, *more, *_empty_classes(found, class_ids[rows])),
    )


def _empty_classes(classes: ClassList, class_ids: np.ndarray[Any, np.dtype[Any]]) -> tuple[str, ...]:
    counts = np.bincount(class_ids, minlength=len(classes))
    empty = [name for name, count in zip(classes.names, counts, strict=True) if not count]
    return (f"classes without images: {len(empty)} ({listed(empty)})",) if empty else ()
