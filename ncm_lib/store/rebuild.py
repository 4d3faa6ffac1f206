"""Logs and derived files made anew from the images, which carry their records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..typing import Bool
from .damaged import set_aside
from .derived import is_current, write_derived
from .disk import sync_file, sync_folder, temp_path
from .index_parquet import can_write_parquet, has_parquet
from .layout import log_name, log_paths
from .ledger import Ledger
from .line_form import LineForm
from .lock import merging
from .log import scan_log
from .manifest import Manifest
from .record import Array, Record

_SHOWN = 10


def rebuild(
    root: Path,
    manifest: Manifest,
    ledger: Ledger,
    own_record: Callable[[int], Record | None],
    *,
    all_derived: bool = False,
) -> list[str]:
    """Make the logs say what the images say, and the derived files what the logs say.

    Logs that agree with the images stay as they are. Otherwise ``metadata-0.jsonl`` is written anew, with all samples
    by index, and the logs that were there are set aside.

    Args:
        root: the data set; the caller holds its locks.
        manifest: its head.
        ledger: what is there.
        own_record: gives the record inside the image of a sample, or None where the sample is not to be listed; called
            once for each image, by index.
        all_derived: write them anew even where they are as they should be, and ``index.parquet`` where pyarrow is.

    Returns:
        What was changed, a line each.
    """
    log = root / log_name(0)
    temp = temp_path(log, 0)
    did: list[str] = []
    named = _named(root, manifest, did)
    try:
        did += _write_log(temp, ledger, named, own_record)
        if did:
            for old in log_paths(root):
                did.append(f"{old.name}: moved to {set_aside(root, old.name, 'it was written anew')}")
            temp.replace(log)
            sync_folder(root)
    finally:
        with suppress(OSError):
            temp.unlink(missing_ok=True)
    with merging(root):
        # metadata.jsonl may still list what is not to be listed
        new = Ledger.read(root, manifest, logs_only=True)
        if did or all_derived or not is_current(root, manifest, new):
            with_parquet = all_derived and can_write_parquet()
            write_derived(root, manifest, new, with_parquet=with_parquet)
            more = ", index.parquet" * (with_parquet or has_parquet(root))
            did.append(f"metadata.jsonl, soft_labels.npy{more} and the preview were written anew")
    return did


def _named(root: Path, manifest: Manifest, problems: list[str]) -> Bool[Array, " n"]:
    """Which samples the logs have a record of, whatever became of their files; damaged lines go to ``problems``."""
    form, named = LineForm(manifest), np.zeros(manifest.count, dtype=np.bool_)
    for path in log_paths(root):
        for rows in scan_log(path, form, problems):
            named[rows.index] = True
    return named


def _write_log(
    temp: Path, ledger: Ledger, named: Bool[Array, " n"], own_record: Callable[[int], Record | None]
) -> list[str]:
    """Write the images' own records to ``temp``; how they differ from those of the logs."""
    taken, other, unsound = (np.zeros(len(named), dtype=np.bool_) for _ in range(3))
    with temp.open("wb") as lines:
        for index in map(int, np.flatnonzero(ledger.sizes >= 0)):
            record = own_record(index)
            if record is None:
                unsound[index] = named[index]
                continue
            line = f"{record.to_json()}\n".encode("ascii")
            lines.write(line)
            if not ledger.in_logs(index):
                taken[index] = True
            else:
                other[index] = next(ledger.raw_lines(np.array([index])))[1] != line
    sync_file(temp)
    return [
        *_listed("records dropped from the logs, because their images are gone", named & (ledger.sizes < 0)),
        *_listed("records dropped from the logs, because their files are not sound", unsound),
        *_listed("images without a fitting record in the logs, whose own was taken", taken),
        *_listed("images with another record than the logs had, whose own was taken", other),
    ]


def _listed(what: str, which: Bool[Array, " n"]) -> list[str]:
    indices = np.flatnonzero(which)
    if not len(indices):
        return []
    first = ", ".join(str(index) for index in indices[:_SHOWN])
    return [f"{what}: {len(indices)} (samples {first}{', ...' * (len(indices) > _SHOWN)})"]
