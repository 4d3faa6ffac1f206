"""``index.parquet``: the records as a table, for programs that read Parquet."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from ..errors import import_extra
from .disk import replacing
from .layout import PARQUET
from .ledger import Ledger
from .record import Record

_ROWS = 10_000


def can_write_parquet() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def has_parquet(root: Path) -> bool:
    """Whether the data set has an ``index.parquet`` that can be kept up to date here."""
    return (root / PARQUET).is_file() and can_write_parquet()


def write_parquet(root: Path, ledger: Ledger, rank: int = 0) -> None:
    """Write ``index.parquet``: a row per sample that is done, by index, with the columns of the record.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow: Any = import_extra("pyarrow", "data")
    parquet: Any = import_extra("pyarrow.parquet", "data")
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    types = {
        "file_name": text, "mask_file_name": text, "mask_sha256": text, "index": whole, "seed": whole,
        "class_ids": arrow.list_(whole), "weights": arrow.list_(real), "box": arrow.list_(whole), "method": text,
        "start": text, "source": text, "source_b": text, "strength": real, "u": real, "plan_hash": text,
        "bytes": whole, "renderer": text,
    }  # fmt: skip
    schema = arrow.schema(list(types.items()))
    with replacing(root / PARQUET, rank) as path, parquet.ParquetWriter(path, schema) as writer:
        for rows in _blocks(ledger):
            writer.write_table(arrow.Table.from_pylist([_row(record) for record in rows], schema=schema))


def parquet_problem(root: Path, ledger: Ledger) -> str | None:
    """Why ``index.parquet`` is not what ``write_parquet`` would write; None where it is, or where nobody can tell."""
    if not has_parquet(root):
        return None
    parquet: Any = import_extra("pyarrow.parquet", "data")
    try:
        with parquet.ParquetFile(root / PARQUET) as table:
            if table.schema_arrow.names != list(Record.__slots__):
                return "it has other columns than a record"
            batches = (batch.to_pylist() for batch in table.iter_batches(batch_size=_ROWS))
            for block, batch in zip_longest(_blocks(ledger), batches, fillvalue=None):
                if [_row(record) for record in block or ()] != batch:
                    return f"its {table.metadata.num_rows} rows are not the {int(ledger.done.sum())} records"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({error})"
    return None


def _row(record: Record) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in Record.__slots__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _blocks(ledger: Ledger) -> Iterator[list[Record]]:
    records = (record for _, record in ledger.lines())
    while block := list(islice(records, _ROWS)):
        yield block
