"""Images in the cells of Arrow and Parquet files."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import import_extra
from .files import ImageFiles, read_file
from .images import BadImageError
from .notes import printable

Schema = Any
"""pyarrow.Schema: the package is optional."""


class ArrowFiles(ImageFiles):
    """The cells of an image column over several files; a position counts the rows of all of them."""

    sequential = True

    def __init__(self, paths: tuple[Path, ...], counts: list[int], column: str) -> None:
        self._paths = paths
        self._column = column
        self._ends = np.cumsum(counts, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, position: int) -> bytes:
        """The bytes of an image's cell, or of the file that the cell names."""
        path, row = self._place(position)
        try:
            cell = _cell(path, self._column, row)
        except Exception as error:  # a damaged file may raise anything that Arrow can
            raise BadImageError(f"cannot be read ({printable(str(error).strip())})") from error
        fields = cast("dict[str, Any]", cell) if isinstance(cell, dict) else {"bytes": cell}
        if fields.get("bytes") is None and isinstance(fields.get("path"), str):
            return read_file(path.parent / fields["path"])
        if not isinstance(fields.get("bytes"), bytes):
            raise BadImageError(f"holds no image in the column {self._column!r}")
        return fields["bytes"]

    def name(self, position: int) -> str:
        """File and row."""
        path, row = self._place(position)
        return f"{path}, row {row}"

    def _place(self, position: int) -> tuple[Path, int]:
        file = int(np.searchsorted(self._ends, position, side="right"))
        return self._paths[file], position - (int(self._ends[file - 1]) if file else 0)


def schema_of(path: Path) -> Schema:
    """The columns of a file; OSError or ValueError where it is damaged."""
    if path.suffix.lower() == ".parquet":
        return import_extra("pyarrow.parquet", "data").read_schema(path)
    return _table(path, _stamp(path)).schema


def values_of(path: Path, column: str) -> Iterator[Any]:
    """All values of a column, in order."""
    if path.suffix.lower() == ".parquet":
        with import_extra("pyarrow.parquet", "data").ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[column]):
                yield from batch.column(0).to_pylist()
    else:
        for chunk in _arrow_column(path, _stamp(path), column).chunks:
            yield from chunk.to_pylist()


def _cell(path: Path, column: str, row: int) -> Any:
    stamp = _stamp(path)
    if path.suffix.lower() != ".parquet":
        return _arrow_column(path, stamp, column)[row].as_py()
    starts = _row_starts(path, stamp)
    group = int(np.searchsorted(starts, row, side="right")) - 1
    return _row_group(path, stamp, group, column)[row - int(starts[group])].as_py()


def _stamp(path: Path) -> tuple[int, int]:
    """Tells whether a file is still the one that is held open."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1024)
def _table(path: Path, stamp: tuple[int, int]) -> Any:  # noqa: ARG001
    """An Arrow file, mapped into memory: nothing is read until it is asked for."""
    pyarrow, ipc = import_extra("pyarrow", "data"), import_extra("pyarrow.ipc", "data")
    source = pyarrow.memory_map(str(path))
    try:
        return ipc.open_stream(source).read_all()
    except pyarrow.ArrowInvalid:
        return ipc.open_file(source).read_all()


@functools.lru_cache(maxsize=1024)
def _arrow_column(path: Path, stamp: tuple[int, int], column: str) -> Any:
    """One column of an Arrow file, once it is known that its cells lie within it: Arrow itself trusts what it reads."""
    cells = _table(path, stamp).column(column)
    cells.validate(full=True)
    return cells


@functools.lru_cache(maxsize=1024)
def _row_starts(path: Path, stamp: tuple[int, int]) -> Any:  # noqa: ARG001
    metadata = import_extra("pyarrow.parquet", "data").read_metadata(path)
    return np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])


@functools.lru_cache(maxsize=2)
def _row_group(path: Path, stamp: tuple[int, int], group: int, column: str) -> Any:  # noqa: ARG001
    """One column of a group of rows: Parquet gives no less than that."""
    with import_extra("pyarrow.parquet", "data").ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(0)
