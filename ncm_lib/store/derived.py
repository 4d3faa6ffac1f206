"""The files that are made from the records: the merged index, the label matrix, the preview."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .disk import replacing
from .layout import INDEX, SOFT_LABELS
from .ledger import Ledger
from .manifest import Manifest
from .preview import write_preview


def write_derived(root: Path, manifest: Manifest, ledger: Ledger, rank: int = 0) -> None:
    """Write ``metadata.jsonl``, ``soft_labels.npy`` and ``preview.png``, each atomically.

    ``metadata.jsonl`` has the samples that are done, by index. ``soft_labels.npy`` is float32 [N, C] with N the target
    size: **row i is sample i** (image ``i``), and the row of a sample that is not there is all NaN, so that a training
    loop that uses it by mistake shows it at once; rows of zeros would train silently on nothing.
    """
    shape = (manifest.count, len(manifest.classes))
    missing_row = np.full(shape[1], np.nan, dtype="<f4").tobytes()
    with (
        replacing(root / INDEX, rank) as index_path,
        replacing(root / SOFT_LABELS, rank) as labels_path,
        index_path.open("wb") as index,
        labels_path.open("wb") as labels,
    ):
        # plain writes: a memory map on a full disk would kill the process instead of raising
        np.lib.format.write_array_header_1_0(labels, {"descr": "<f4", "fortran_order": False, "shape": shape})
        rows = 0
        for line, record in ledger.lines():
            index.write(line + b"\n")
            labels.write(missing_row * (record.index - rows) + record.soft_label(shape[1]).astype("<f4").tobytes())
            rows = record.index + 1
        labels.write(missing_row * (shape[0] - rows))
    if ledger.done.any():
        write_preview(root, manifest, ledger, rank=rank)
