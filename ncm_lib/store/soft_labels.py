"""``soft_labels.npy``: the label of every sample as one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import InputError
from ..typing import Float32, Int64
from .layout import SOFT_LABELS
from .line_form import LineForm
from .log import parse_line
from .manifest import Manifest
from .record import Array

_BLOCK_ROWS, _BLOCK_BYTES = 1000, 1 << 20


class SoftLabelWriter:
    """Writes float32 [N, C], row i for sample i; the rows of samples that are not there are all NaN.

    NaN, so that a training loop that uses such a row by mistake shows it at once: zeros would train silently on
    nothing.

    Args:
        file: open for writing. Plain writes go to it: a memory map on a full disk would kill the process.
        manifest: of the data set: N is its count, C its number of classes.
    """

    def __init__(self, file: BinaryIO, manifest: Manifest) -> None:
        self._file = file
        self._shape = (manifest.count, len(manifest.classes))
        self._rows = 0
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": self._shape})

    def add(self, indices: Int64[Array, " n"], labels: Float32[Array, "n c"]) -> None:
        """Write the labels of these samples; they come by index, and after all that were added before."""
        for run in np.split(np.arange(len(indices)), np.flatnonzero(np.diff(indices) != 1) + 1):
            self._fill(int(indices[run[0]]))
            self._file.write(labels[run[0] : run[-1] + 1].astype("<f4").tobytes())
            self._rows = int(indices[run[-1]]) + 1

    def finish(self) -> None:
        """Write the rows that are left."""
        self._fill(self._shape[0])

    def _fill(self, stop: int) -> None:
        most = block_rows(self._shape[1])
        while self._rows < stop:
            rows = min(most, stop - self._rows)
            self._file.write(np.full((rows, self._shape[1]), np.nan, dtype="<f4").tobytes())
            self._rows += rows


def block_rows(num_classes: int) -> int:
    """How many rows are handled at a time."""
    return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (4 * num_classes)))


def dense_labels(lines: Sequence[bytes], form: LineForm, num_classes: int) -> Float32[Array, "n c"]:
    """The labels of log lines as dense rows, as ``Record.soft_label`` has them."""
    rows: list[int] = []
    class_ids: list[int] = []
    weights: list[float] = []
    for row, line in enumerate(lines):
        ids, shares = form.label(line) or _parsed(line)
        rows += [row] * len(ids)
        class_ids += ids
        weights += shares
    dense = np.zeros((len(lines), num_classes), dtype=np.float64)
    np.add.at(dense, (rows, class_ids), weights)
    return dense.astype(np.float32)


def soft_label_matrix(root: Path, manifest: Manifest) -> Float32[Array, "n c"]:
    """The matrix on disk, as a read-only memory map.

    Raises:
        InputError: it is missing, cut off, or of another shape or type.
    """
    shape = (manifest.count, len(manifest.classes))
    try:
        matrix: object = np.load(root / SOFT_LABELS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{SOFT_LABELS} cannot be read ({error}).") from error
    labels = cast("Array", matrix)
    if not isinstance(matrix, np.ndarray) or labels.shape != shape or labels.dtype != np.dtype("<f4"):
        raise InputError(f"{SOFT_LABELS} is {labels.dtype} {labels.shape}; legal is float32 {shape}.")
    return labels


def _parsed(line: bytes) -> tuple[list[int], list[float]]:
    record = parse_line(line, "A record")
    return (list(record.class_ids), list(record.weights)) if record else ([], [])
