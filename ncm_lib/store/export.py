"""A data set in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ..errors import InputError
from ..wording import counted
from .disk import plain_errors
from .export_imagefolder import write_imagefolder
from .export_parquet import write_parquet
from .export_source import Source, Written
from .export_webdataset import write_webdataset
from .filters import kept_by
from .ledger import Ledger
from .manifest import Manifest, refuse_empty
from .new_folder import leftovers, new_folder

Target = Literal["webdataset", "parquet", "imagefolder-hard-labels"]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What ``export`` wrote."""

    path: Path
    count: int
    """Images."""
    files: int
    """Shards, Parquet files, or class folders."""
    notes: tuple[str, ...] = ()
    """What is missing, left out, or not as it should be, a line each."""


def export(
    path: str | Path,
    *,
    to: Target,
    out: str | Path,
    shard_samples: int | None = None,
    shard_mb: int | None = None,
    min_weight: float | None = None,
    filter: str | None = None,  # noqa: A002, its name in the command line and on the disk
    on_progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """Write the finished samples of a data set in another format, into a new folder that is whole or not there.

    - ``webdataset``: ``shard-000000.tar``, ...; per sample the image file, ``json`` (the record), ``npy`` (the soft
      label) and ``mask.png``; the class list is in ``dataset_info.json``. Needs the extra ``data``.
    - ``parquet``: ``part-00000.parquet``, ... with the images inside; ``datasets.load_dataset("parquet", ...)`` decodes
      them and knows the classes. Needs the extra ``data``.
    - ``imagefolder-hard-labels``: ``CLASS/00000012.png``, by the class with the largest weight; ``classes.json`` tells
      which class each folder is. The soft labels are lost.

    Samples are in index order; what is missing is left out, so a row's number is not its index: that is in the record.
    A soft label's column c is class c of the class list, which goes along.
    Image files are taken as they are and not decoded: ``ncm verify`` finds damaged ones. Equal data sets give equal
    bytes.

    Args:
        path: the data set.
        to: the format.
        out: a folder that is not there yet, outside of the data set.
        shard_samples: images per shard or Parquet file, at most; None: 1000 or 10,000.
        shard_mb: megabytes (2**20 bytes) of images per shard or Parquet file, at most; None: 256 or 512.
        min_weight: of ``imagefolder-hard-labels``: leave out images whose largest weight is below it, in [0, 1].
        filter: name of a filter of the data set ("clip"): leave out the samples that it does not keep.
        on_progress: called with (samples that are through, all of them).

    Raises:
        InputError: no data set or none with a finished sample, ``out`` exists, an option does not fit, an image cannot
            be read, or the disk does not take the files. Nothing is left at ``out`` then.
        MissingExtraError: the format needs a package that is not installed.

    Example:
        >>> export("aug", to="webdataset", out="aug-shards", shard_samples=500)  # doctest: +SKIP
    """
    root, target = Path(path), Path(out)
    options = _options(to, shard_samples, shard_mb, min_weight)
    manifest = Manifest.read(root)
    if target.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{target} lies in the data set {root}, which holds its own files only; take another folder.")
    ledger = Ledger.read(root, manifest)
    done = int(ledger.done.sum())
    if filter is not None:
        ledger = kept_by(ledger, manifest, filter)
    source = Source(root=root, manifest=manifest, ledger=ledger, on_progress=on_progress or _silent)
    refuse_empty(root, manifest, bool(len(source)), " ".join(ledger.damage[:1]))
    notes = list(ledger.damage)
    notes += [f"{there} was left by an export that was killed, or that still runs" for there in leftovers(target)]
    with new_folder(target) as folder, plain_errors(target):
        written = _WRITERS[to](folder, source, **options)
    if left_out := done - len(source):
        notes.insert(0, f"{left_out} of {counted(done, 'sample')} left out by the filter {filter!r}")
    if missing := manifest.count - done:
        notes.insert(
            0,
            f"{missing} of {counted(manifest.count, 'sample')} not done and so not there; run the generation again",
        )
    return Exported(path=target, count=written.count, files=written.files, notes=(*notes, *written.notes))


_WRITERS: Mapping[str, Callable[..., Written]] = MappingProxyType(
    {"webdataset": write_webdataset, "parquet": write_parquet, "imagefolder-hard-labels": write_imagefolder}
)
_SHARDS: Mapping[str, tuple[int, int]] = MappingProxyType({"webdataset": (1000, 256), "parquet": (10_000, 512)})
"""Samples and megabytes of a file, where nobody asks for others."""


def _options(to: str, samples: int | None, megabytes: int | None, min_weight: float | None) -> dict[str, Any]:
    """The writer's own options, with every default filled in."""
    if to not in _WRITERS:
        raise InputError(f"The format {to!r} is not known; legal: {', '.join(_WRITERS)}.")
    if to not in _SHARDS:
        if samples is not None or megabytes is not None:
            raise InputError(
                f"shard_samples and shard_mb tell how large a file may be, and {to} has one file per image; "
                "leave them out (--shard-samples, --shard-mb)."
            )
        least = 0.0 if min_weight is None else min_weight
        if not 0 <= least <= 1:
            raise InputError(f"min_weight is {least}; legal is 0 to 1: the weight that an image's largest class needs.")
        return {"min_weight": least}
    if min_weight is not None:
        raise InputError(
            f"min_weight is for imagefolder-hard-labels: {to} keeps the soft labels, so no image is a bad example of "
            "its class. Leave it out (--min-weight)."
        )
    usual_samples, usual_megabytes = _SHARDS[to]
    samples = usual_samples if samples is None else samples
    megabytes = usual_megabytes if megabytes is None else megabytes
    if samples < 1 or megabytes < 1:
        raise InputError(f"A file of at most {samples} samples and {megabytes} MB holds nothing; legal is 1 or more.")
    return {"samples": samples, "size": megabytes * 2**20}


def _silent(_done: int, _count: int) -> None:
    pass
