"""Which columns of Arrow and Parquet files hold images and labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import InputError, MissingExtraError, import_extra
from .arrow import ArrowFiles, Schema, schema_of, values_of
from .labels import Label, LabelColumn
from .notes import printable
from .scan import Scan
from .table import label_columns


@dataclass(frozen=True, kw_only=True)
class _Columns:
    image: str
    label: str
    is_id: bool
    names: tuple[str, ...] | None
    """The classes in the order of their ids, where the file knows them."""


def saved_files(folder: Path) -> tuple[Path, ...]:
    """The Arrow files of a folder that datasets' ``Dataset.save_to_disk`` wrote.

    Raises:
        InputError: its ``state.json`` does not list them, or lists files elsewhere.
    """
    state_file = folder / "state.json"
    try:
        state: Any = json.loads(state_file.read_text(encoding="utf-8"))
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{state_file} does not list the data files ({error}); save the data set again.") from error
    if any(Path(name).name != name for name in names):
        raise InputError(f"{state_file} lists files outside of its folder ({names}); save the data set again.")
    return tuple(folder / name for name in names)


def scan_arrow(paths: tuple[Path, ...], form: str, *, label_column: str | None) -> Scan:
    """Read Arrow or Parquet files that hold one row per image.

    The image column is the one of datasets' type Image, else of structs with ``bytes``, else of binary values. The
    label column is the one of type ClassLabel, whose own order of names is kept, else one of the names that tables use.

    Args:
        paths: of one data set, at least one.
        form: what the source is called.
        label_column: which column holds the labels, where that cannot be told.

    Raises:
        InputError: a file is damaged, files have different columns, or a column is missing or cannot be told.
        MissingExtraError: pyarrow is not installed.
    """
    labels, counts = LabelColumn(), list[int]()
    columns: _Columns | None = None
    for path in paths:
        try:
            found = _find_columns(schema_of(path), label_column, str(path))
            if columns is None:
                columns = found
                for name in columns.names or ():
                    labels.declare(name)
            elif columns != found:
                raise InputError(f"{path} has other columns or classes than {paths[0]}; give files of one data set.")
            before = len(labels)
            for row, value in enumerate(values_of(path, columns.label)):
                labels.add(_label(value, columns, f"{path}, row {row}"))
            counts.append(len(labels) - before)
        except (InputError, MissingExtraError):
            raise
        except Exception as error:  # a damaged file may raise anything that Arrow can
            what = printable(str(error).strip())
            raise InputError(f"{path} cannot be read as {path.suffix[1:].title()} ({what}).") from error
    if columns is None or not len(labels):
        raise InputError(f"{', '.join(map(str, paths))} holds no rows, so no images.")
    files = ArrowFiles(paths, counts, columns.image)
    return Scan(form=form, files=files, labels=labels.ordered(declared=columns.names is not None))


def _find_columns(schema: Schema, asked: str | None, where: str) -> _Columns:
    features = _features(schema)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    images = images or [field.name for field in schema if _holds_bytes(field.type)]
    if len(images) > 1:
        images = [name for name in images if name in ("image", "img")] or images
    if len(images) != 1:
        what = f"{len(images)} columns of images ({', '.join(images)})" if images else "no column of images"
        raise InputError(
            f"{where} has {what}; its columns are {', '.join(schema.names)}. One column of images is needed, of "
            "datasets' type Image or of structs with bytes; call it image where there are more."
        )
    classed = {name: feature for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    if asked is None and len(classed) > 1:
        raise InputError(f"{where} has several columns of classes ({', '.join(classed)}); say which (label_column=).")
    if asked is None and classed:
        asked = next(iter(classed))
    label, is_id = label_columns(list(schema.names), asked, where)
    names = classed.get(label, {}).get("names")
    return _Columns(image=images[0], label=label, is_id=is_id, names=tuple(map(str, names)) if names else None)


def _features(schema: Schema) -> dict[str, dict[str, Any]]:
    """What datasets wrote about the columns; empty where it did not write the file."""
    try:
        metadata: dict[bytes, bytes] = schema.metadata or {}
        features: Any = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    known = cast("dict[str, Any]", features) if isinstance(features, dict) else {}
    return {name: feature for name, feature in known.items() if isinstance(feature, dict)}


def _holds_bytes(kind: Any) -> bool:
    types = import_extra("pyarrow.types", "data")
    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _label(value: object, columns: _Columns, where: str) -> Label:
    if isinstance(value, int) and not isinstance(value, bool):
        if columns.names is None:
            return value
        if 0 <= value < len(columns.names):
            return columns.names[value]
    elif isinstance(value, str) and value.strip() and not columns.is_id:
        return value
    legal = f"legal are 0 to {len(columns.names) - 1}" if columns.names else "legal is a name or a number"
    raise InputError(f"{where} has the label {value!r} in the column {columns.label!r}; {legal}. Leave such rows out.")
