"""The files that are made from the records: the merged index, the label matrix, the preview."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError
from .disk import replacing
from .index_parquet import has_parquet, write_parquet
from .layout import INDEX, PREVIEW, SOFT_LABELS
from .ledger import Ledger
from .line_form import LineForm
from .manifest import Manifest
from .preview import write_preview
from .soft_labels import SoftLabelWriter, block_rows, dense_labels, soft_label_matrix

PICTURES = (PREVIEW,)
"""Derived files that are there as soon as one sample is."""


def write_derived(root: Path, manifest: Manifest, ledger: Ledger, rank: int = 0, *, with_parquet: bool = False) -> None:
    """Write ``metadata.jsonl``, ``soft_labels.npy`` and ``preview.png``, and ``index.parquet`` where there is one.

    Each takes its place atomically; ``metadata.jsonl``, which has the samples that are done by index, does so last:
    where it is up to date, so are the others (``is_current``).

    Args:
        root: the data set.
        manifest: its head.
        ledger: what is done.
        rank: whose temp files are used.
        with_parquet: write ``index.parquet`` even where there is none yet.
    """
    classes = len(manifest.classes)
    form = LineForm(manifest)
    with replacing(root / INDEX, rank) as index_path, replacing(root / SOFT_LABELS, rank) as labels_path:
        with index_path.open("wb") as index, labels_path.open("wb") as labels_file:
            labels = SoftLabelWriter(labels_file, manifest)
            rows = ledger.raw_lines()
            while block := list(islice(rows, block_rows(classes))):
                indices, lines = zip(*block, strict=True)
                index.writelines(lines)
                labels.add(np.array(indices, dtype=np.int64), dense_labels(lines, form, classes))
            labels.finish()
        failed = None
        try:
            if ledger.done.any():
                write_preview(root, manifest, ledger, rank=rank)
            if with_parquet or has_parquet(root):
                write_parquet(root, ledger, rank)
        except (OSError, InputError) as error:
            # the index matters more than its picture; without the picture, the next run sees that something is amiss
            failed = error
            for name in PICTURES:
                with suppress(OSError):
                    (root / name).unlink(missing_ok=True)
    if failed is not None:
        raise failed


def is_current(root: Path, manifest: Manifest, ledger: Ledger) -> bool:
    """Whether the derived files are those that ``write_derived`` would write."""
    try:
        soft_label_matrix(root, manifest)
        with (root / INDEX).open("rb") as index:
            same = all(index.readline() == line for _, line in ledger.raw_lines()) and not index.readline()
    except (InputError, OSError):
        return False
    return same and (not ledger.done.any() or all((root / name).is_file() for name in PICTURES))
