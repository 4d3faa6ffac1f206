"""What kind of source a path is, found by looking."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, cast

from ..errors import InputError
from .arrow_scan import saved_files, scan_arrow
from .folder import SPLITS, is_folder, scan_folder
from .notes import listed
from .scan import Scan
from .table import METADATA, has_labels, scan_table
from .tars import scan_tars

LEGAL = (
    "legal: a folder with one sub-folder per class; a folder with images and a metadata.csv or metadata.jsonl; a .csv, "
    ".tsv or .jsonl file that lists images; a folder that datasets saved; .parquet, .arrow or .tar files or a folder "
    "of them"
)
_TABLES = (".csv", ".tsv", ".jsonl")
_SHARDS = (".parquet", ".arrow", ".tar")


def recognise(path: Path, *, split: str | None, label_column: str | None) -> Scan:
    """Read what is at a path, as whatever it turns out to be.

    Args:
        path: absolute.
        split: the part to read, where there are several.
        label_column: the column of the labels in a table, where its name does not say so.

    Raises:
        InputError: nothing is there, or no form of source fits.
    """
    try:
        if path.is_dir():
            return _scan_folder(path, split, label_column)
        is_file = path.is_file()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from error
    if not is_file:
        raise InputError(f"There is nothing at {path}; {LEGAL}. Only local files are read: download others first.")
    if path.suffix.lower() not in (*_TABLES, *_SHARDS):
        raise InputError(f"{path} is a file that holds no list of images; {LEGAL}. Unpack archives first.")
    if split is not None:
        raise _split_error(path, split, [])
    if path.suffix.lower() in _TABLES:
        return scan_table(path, label_column=label_column, inside=False)
    return _scan_shards((path,), label_column)


def _scan_folder(folder: Path, split: str | None, label_column: str | None) -> Scan:
    folders, shards = _look_into(folder)
    if split is not None and split in folders:
        return _scan_folder(folder / split, None, label_column)
    if (folder / "dataset_dict.json").is_file():
        splits = [name for name in folders if (folder / name / "state.json").is_file()]
        if len(splits) == 1 and split is None:
            return _scan_folder(folder / splits[0], None, label_column)
        raise _split_error(folder, split, splits)
    has_folders = bool(set(folders) - {"data"})
    if not shards and "data" in folders:
        shards = _look_into(folder / "data")[1]
    if shards and not has_folders and not (folder / "state.json").is_file():
        return _scan_shards(_of_split(folder, shards, split), label_column)
    if split is not None:
        raise _split_error(folder, split, folders)
    if (folder / "state.json").is_file():
        return scan_arrow(saved_files(folder), "saved datasets folder", label_column=label_column)
    if _is_synthetic(folder):
        raise InputError(
            f"{folder} is a data set of generated images with soft labels, not of real ones; read it with "
            "SyntheticDataset."
        )
    metadata = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(metadata) > 1:
        raise InputError(f"{folder} holds {' and '.join(METADATA)}; delete one of the two.")
    if metadata and (label_column is not None or not has_folders or has_labels(metadata[0])):
        return scan_table(metadata[0], label_column=label_column, inside=True)
    return scan_folder(folder)


def _look_into(folder: Path) -> tuple[list[str], list[Path]]:
    """The names of the visible sub-folders, and the files that hold many images each; both sorted."""
    folders: list[str] = []
    shards: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if is_folder(entry):
                folders.append(entry.name)
            elif entry.name.lower().endswith(_SHARDS) and entry.is_file():
                shards.append(folder / entry.name)
    return sorted(folders), sorted(shards)


def _scan_shards(paths: tuple[Path, ...], label_column: str | None) -> Scan:
    kinds = sorted({path.suffix.lower() for path in paths})
    if len(kinds) > 1:
        raise InputError(f"{paths[0].parent} holds {' and '.join(kinds)} files; give one kind in a folder of its own.")
    if kinds == [".tar"]:
        return scan_tars(paths)
    return scan_arrow(paths, f"{kinds[0][1:].title()} files", label_column=label_column)


def _of_split(folder: Path, shards: list[Path], split: str | None) -> tuple[Path, ...]:
    by_split: dict[str, list[Path]] = {}
    for shard in shards:
        by_split.setdefault(_split_of(shard.stem), []).append(shard)
    if split is None and len(by_split) == 1:
        return tuple(shards)
    if split is not None and split in by_split:
        return tuple(by_split[split])
    raise _split_error(folder, split, sorted(by_split))


def _split_of(stem: str) -> str:
    """The split that a shard belongs to by its name: ``train-00000-of-00002``, ``cub-val-000``; empty if none."""
    numbered = re.fullmatch(r"(.+)-[0-9]+-of-[0-9]+", stem)
    if numbered:
        return numbered[1]
    return next((word for word in re.split(r"[-_.]", stem) if word.lower() in SPLITS), "")


def _split_error(folder: Path, split: str | None, splits: list[str]) -> InputError:
    came = "several splits" if split is None else f"no split {split!r}"
    known = listed(filter(None, splits), most=20) or "there are none"
    return InputError(f"{folder} has {came}; say which (split=): {known}.")


def _is_synthetic(folder: Path) -> bool:
    try:
        content: Any = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and str(cast("dict[str, Any]", content).get("format")).startswith("ncm-")
