"""A data set as Parquet files with the images inside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import import_extra
from .export_source import Source, Written, cut
from .record import Record

_GROUP_SAMPLES, _GROUP_BYTES = 1000, 16 * 2**20
"""Of a row group: what is in memory at a time."""
_FILES = ("image", "mask")


def write_parquet(folder: Path, source: Source, *, samples: int, size: int) -> Written:
    """Write ``part-00000.parquet``, ``part-00001.parquet``, ...; equal data sets give equal bytes (of one pyarrow).

    The columns: ``image`` and ``mask`` (struct of ``bytes``, the file as it is, and ``path``; mask null where the data
    set keeps none), ``soft_label`` (float32 [C]; column c is class c), and every field of the record under its own
    name. The files also carry what Hugging Face's ``datasets`` calls features: it decodes ``image`` and ``mask`` by
    itself and knows the names of ``class_ids``. Beside them is no other file, which ``load_dataset("parquet",
    data_dir=...)`` would read as Parquet: the class list is in the schema's metadata, as JSON under ``ncm``.

    Args:
        folder: where the files go.
        source: what is in them.
        samples: per file, at most.
        size: bytes of images per file, at most.
    """
    arrow: Any = import_extra("pyarrow", "data")
    parquet: Any = import_extra("pyarrow.parquet", "data")
    schema = _schema(arrow, source)
    files = 0
    for number, part in cut(source.records(), samples=samples, size=size):
        files = number + 1
        with (
            (folder / f"part-{number:05d}.parquet").open("wb") as file,
            parquet.ParquetWriter(
                file,
                schema,
                compression="zstd",
                # whole images in a dictionary would be in memory twice
                use_dictionary=[name for name in schema.names if name not in _FILES],
                write_statistics=["index"],
            ) as writer,
        ):
            for _, group in cut(part, samples=_GROUP_SAMPLES, size=_GROUP_BYTES):
                rows = [_row(record, source) for record in group]
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return Written(count=len(source), files=files)


def _schema(arrow: Any, source: Source) -> Any:
    """Arrow's types, and beside them the same in the words of Hugging Face's features."""
    columns: dict[str, Any] = {name: arrow.struct({"bytes": arrow.binary(), "path": arrow.string()}) for name in _FILES}
    features: dict[str, Any] = {name: {"_type": "Image"} for name in _FILES}
    for name, (dtype, is_list) in {"soft_label": ("float32", True), **_record_types()}.items():
        arrow_type, feature = getattr(arrow, dtype)(), {"dtype": dtype, "_type": "Value"}
        if name == "class_ids":
            feature = {"names": list(source.manifest.classes), "_type": "ClassLabel"}
        columns[name] = arrow.list_(arrow_type) if is_list else arrow_type
        # its older name for a list, which every release reads
        features[name] = {"feature": feature, "_type": "Sequence"} if is_list else feature
    metadata = {"huggingface": {"info": {"features": features}}, "ncm": source.class_list()}
    return arrow.schema(list(columns.items()), metadata={key: json.dumps(value) for key, value in metadata.items()})


def _record_types() -> dict[str, tuple[str, bool]]:
    """Each of the record's fields: its type in words that Arrow and Hugging Face share, and whether it is a list."""
    return {name: _type(hint) for name, hint in get_type_hints(Record).items()}


def _type(hint: Any) -> tuple[str, bool]:
    if isinstance(hint, UnionType):  # a value or None: a column may always be null
        hint = get_args(hint)[0]
    is_list = get_origin(hint) is tuple
    if is_list:
        hint = get_args(hint)[0]
    return {int: "int64", float: "float64"}.get(hint, "string"), is_list


def _row(record: Record, source: Source) -> dict[str, Any]:
    mask = source.mask(record)
    return {
        "image": {"bytes": source.image(record), "path": Path(record.file_name).name},
        "mask": None if mask is None else {"bytes": mask, "path": Path(record.mask_file_name or "").name},
        "soft_label": record.soft_label(len(source.manifest.classes)),
        **{field.name: getattr(record, field.name) for field in dataclasses.fields(record)},
    }
