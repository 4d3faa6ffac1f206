"""Checks a whole data set: every image, mask, record and label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .images import decode_image, decode_mask, embedded_record
from .layout import INDEX, SOFT_LABELS, image_name, safe_join
from .ledger import Ledger
from .log import read_log
from .manifest import Manifest
from .record import Record

_AGAIN = "run the generation again"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    file: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}; {self.advice}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What ``verify`` found."""

    path: Path
    count: int
    """Target size."""
    done: int
    """Samples with an image and a record; each was decoded and checked."""
    findings: tuple[Finding, ...]
    foreign: tuple[str, ...] = ()
    """What lies in the folders and is none of the format's; it is ignored, and no finding."""

    @property
    def ok(self) -> bool:
        """Whether the data set is complete and sound."""
        return not self.findings

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.done} of {self.count} samples checked, {len(self.findings)} findings"]
        return "\n".join([*lines, *map(str, self.findings), *self.foreign])


def verify(path: str | Path) -> Report:
    """Decode every image and mask of a data set and hold them against the records.

    A sample is sound when its image decodes to its last byte, carries the record that the log has, and its label sums
    to one and, where a mask is kept, gives the first class the mask's mean.

    Args:
        path: the data set's folder; nothing in it is changed.

    Returns:
        The findings, one per problem, with the file and what to do.

    Raises:
        InputError: the folder is no data set.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    ledger = Ledger.read(root, manifest)
    findings = [Finding(file=root.name, problem=line.rstrip("."), advice=_AGAIN) for line in ledger.damage]
    size: tuple[int, int] | None = None
    for _, record in ledger.lines():
        try:
            image_size, problems = _check_sample(root, record)
            size = size or image_size
            if image_size != size:
                problem = f"it is {image_size[0]} x {image_size[1]} pixels, others {size[0]} x {size[1]}"
                problems.append(Finding(file=record.file_name, problem=problem, advice=f"delete the file and {_AGAIN}"))
            findings += problems
        except (InputError, OSError) as error:
            advice = f"delete the file and {_AGAIN}"
            findings.append(Finding(file=record.file_name, problem=str(error).rstrip("."), advice=advice))
    findings += _missing(root, ledger, manifest)
    findings += _check_derived(root, manifest, ledger)
    return Report(
        path=root,
        count=manifest.count,
        done=int(ledger.done.sum()),
        findings=tuple(findings),
        foreign=tuple(ledger.foreign),
    )


def _check_sample(root: Path, record: Record) -> tuple[tuple[int, int], list[Finding]]:
    found: list[Finding] = []

    def find(file: str, problem: str, advice: str) -> None:
        found.append(Finding(file=file, problem=problem, advice=advice))

    name = record.file_name
    data = safe_join(root, name).read_bytes()
    image = decode_image(data, name)
    inside = embedded_record(data, name)
    if inside != record.embedded():
        keys = [key for key in Record.__slots__ if key != "bytes" and getattr(inside, key) != getattr(record, key)]
        find(name, f"its own record differs from the log's in {', '.join(keys)}", f"delete the file and {_AGAIN}")
    total = math.fsum(record.weights)
    if abs(total - 1) > 1e-6:
        find(name, f"its label sums to {total:.9f}", f"delete the file and {_AGAIN}")
    if record.mask_file_name is not None:
        mask = decode_mask(safe_join(root, record.mask_file_name).read_bytes(), record.mask_file_name)
        mean = float(mask.mean(dtype=np.float64))
        binary = bool(np.logical_or(mask == 0, mask == 1).all())
        # 8 bits round each cell by at most half a step
        if abs(mean - record.weights[0]) > (1e-6 if binary else 0.5 / 255 + 1e-6):
            problem = f"its mean is {mean:.6f} and the label gives the first class {record.weights[0]:.6f}"
            find(record.mask_file_name, problem, f"delete the mask and {_AGAIN}")
    return image.size, found


def _missing(root: Path, ledger: Ledger, manifest: Manifest) -> Iterator[Finding]:
    unlogged = np.flatnonzero((ledger.sizes >= 0) & ~ledger.done)
    for index in map(int, unlogged):
        name = image_name(index, manifest.image_format)
        problem = "the log has no record of a file of this size, or its mask is gone"
        try:
            decode_image(safe_join(root, name).read_bytes(), name)
        except (InputError, OSError) as error:
            problem = str(error).rstrip(".")
        yield Finding(file=name, problem=problem, advice=f"{_AGAIN}: it takes the image's own record or makes it anew")
    absent = np.flatnonzero(ledger.sizes < 0)
    if len(absent):
        first = ", ".join(image_name(int(index), manifest.image_format) for index in absent[:3])
        yield Finding(
            file="images",
            problem=f"{len(absent)} of {manifest.count} samples are not there ({first}{', ...' * (len(absent) > 3)})",
            advice=f"{_AGAIN} to make them",
        )


def _check_derived(root: Path, manifest: Manifest, ledger: Ledger) -> Iterator[Finding]:
    """``metadata.jsonl`` and ``soft_labels.npy`` against the records."""
    advice = f"{_AGAIN} to write it anew"
    index = root / INDEX
    listed = [record for _, record in read_log(index, [])] if index.is_file() else []
    records = [record for _, record in ledger.lines()]
    if listed != records:
        yield Finding(file=INDEX, problem=f"it lists {len(listed)} records, the logs {len(records)}", advice=advice)
    shape = (manifest.count, len(manifest.classes))
    try:
        labels = np.load(root / SOFT_LABELS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        yield Finding(file=SOFT_LABELS, problem=f"it cannot be read ({error})", advice=advice)
        return
    if labels.shape != shape or labels.dtype != np.float32:
        yield Finding(file=SOFT_LABELS, problem=f"it is {labels.dtype} {labels.shape}, not {shape}", advice=advice)
        return
    wrong = [row.index for row in records if not np.array_equal(labels[row.index], row.soft_label(shape[1]))]
    wrong += [int(row) for row in np.flatnonzero(~ledger.done) if not np.isnan(labels[row]).all()]
    if wrong:
        yield Finding(file=SOFT_LABELS, problem=f"rows {sorted(wrong)[:5]} differ from the records", advice=advice)
