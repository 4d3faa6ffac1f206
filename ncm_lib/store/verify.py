"""Checks a whole data set: every image, mask, record and label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from ..wording import counted
from .index_parquet import parquet_problem
from .layout import DAMAGED, INDEX, PARQUET, SOFT_LABELS, image_name
from .ledger import Ledger
from .line_form import LineForm
from .manifest import Manifest
from .record import Record
from .soft_labels import block_rows, dense_labels, soft_label_matrix
from .soundness import check_label, check_mask, sound_record

_AGAIN = "run the generation again"
_REPAIR = "run `ncm verify --repair`, then run the generation again"


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
        checked, found = counted(self.count, "sample"), counted(len(self.findings), "finding")
        return "\n".join(
            [f"{self.path}: {self.done} of {checked} checked, {found}", *map(str, self.findings), *self.foreign]
        )


def verify(path: str | Path) -> Report:
    """Decode every image and mask of a data set and hold them against the records.

    A sample is sound when its image decodes to its last byte and carries the record that the log has, of this plan and
    this place; when its label sums to one and, where a mask is kept, gives the first class the mask's mean; and when
    the mask is the one whose sha256 the record has. All samples must be there, of one size, and listed as they are in
    ``metadata.jsonl``, ``soft_labels.npy`` and ``index.parquet``.

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
    form = LineForm(manifest)
    findings = [Finding(file=root.name, problem=line.rstrip("."), advice=_AGAIN) for line in ledger.damage]
    expected: tuple[int, int] | None = None
    for _, record in ledger.lines():
        try:
            inside, size = sound_record(root, record.index, form)
        except (InputError, OSError) as error:
            findings.append(_finding(record.file_name, error))
            continue
        expected = expected or size
        findings += _check_sample(root, record, inside)
        if size != expected:
            problem = f"it is {size[0]} x {size[1]} pixels, others {expected[0]} x {expected[1]}"
            findings.append(Finding(file=record.file_name, problem=problem, advice=f"delete the file and {_AGAIN}"))
    findings += _missing(root, ledger, form)
    findings += _check_index(root, ledger)
    findings += _check_soft_labels(root, manifest, ledger)
    if problem := parquet_problem(root, ledger):
        findings.append(Finding(file=PARQUET, problem=problem, advice="run `ncm index` to write it anew"))
    kept = sum(file.is_file() for file in (root / DAMAGED).rglob("*"))
    note = [f"{DAMAGED}: {counted(kept, 'file')} out of use, which nothing reads"] if kept else []
    return Report(
        path=root,
        count=manifest.count,
        done=int(ledger.done.sum()),
        findings=tuple(findings),
        foreign=(*ledger.foreign, *note),
    )


def _finding(file: str, error: Exception, advice: str = _REPAIR) -> Finding:
    return Finding(file=file, problem=str(error).removeprefix(file).lstrip(": ").rstrip("."), advice=advice)


def _check_sample(root: Path, record: Record, inside: Record) -> Iterator[Finding]:
    if inside != record:
        keys = [key for key in Record.__slots__ if getattr(inside, key) != getattr(record, key)]
        problem = f"its own record differs from the log's in {', '.join(keys)}"
        yield Finding(file=record.file_name, problem=problem, advice=_REPAIR)
    try:
        check_label(record)
    except InputError as error:
        yield _finding(record.file_name, error)
    try:
        check_mask(root, record)
    except (InputError, OSError) as error:
        yield _finding(record.mask_file_name or record.file_name, error)


def _missing(root: Path, ledger: Ledger, form: LineForm) -> Iterator[Finding]:
    for index in map(int, np.flatnonzero((ledger.sizes >= 0) & ~ledger.done)):
        name = image_name(index, form.manifest.image_format)
        try:
            sound_record(root, index, form)
        except (InputError, OSError) as error:
            yield _finding(name, error)
        else:
            problem = "the log has no record of a file of this size, or its mask is gone"
            advice = f"{_AGAIN}: it takes the image's own record or makes it anew"
            yield Finding(file=name, problem=problem, advice=advice)
    absent = np.flatnonzero(ledger.sizes < 0)
    if len(absent):
        first = ", ".join(image_name(int(index), form.manifest.image_format) for index in absent[:3])
        total = form.manifest.count
        problem = f"{len(absent)} of {counted(total, 'sample')} missing ({first}{', ...' * (len(absent) > 3)})"
        yield Finding(file="images", problem=problem, advice=f"{_AGAIN} to make them")


def _check_index(root: Path, ledger: Ledger) -> Iterator[Finding]:
    """``metadata.jsonl`` against the records."""
    try:
        with (root / INDEX).open("rb") as index:
            problem = _first_difference(index, ledger)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})"
    if problem is not None:
        yield Finding(file=INDEX, problem=problem, advice=f"{_AGAIN} to write it anew")


def _first_difference(index: BinaryIO, ledger: Ledger) -> str | None:
    number = 0
    for number, (sample, line) in enumerate(ledger.raw_lines(), start=1):
        if index.readline() != line:
            return f"line {number} is not the record of sample {sample}"
    return f"it goes on behind line {number}, where the records end" if index.readline() else None


def _check_soft_labels(root: Path, manifest: Manifest, ledger: Ledger) -> Iterator[Finding]:
    """``soft_labels.npy`` against the records, and its other rows against NaN."""
    advice = f"{_AGAIN} to write it anew"
    try:
        labels = soft_label_matrix(root, manifest)
    except InputError as error:
        yield _finding(SOFT_LABELS, error, advice)
        return
    form, classes, wrong = LineForm(manifest), len(manifest.classes), list[int]()
    lines = ledger.raw_lines()
    while block := list(islice(lines, block_rows(classes))):
        rows = np.array([index for index, _ in block])
        right = dense_labels([line for _, line in block], form, classes)
        wrong += rows[(labels[rows] != right).any(axis=1)].tolist()
    absent = np.flatnonzero(~ledger.done)
    for start in range(0, len(absent), block_rows(classes)):
        rows = absent[start : start + block_rows(classes)]
        wrong += rows[~np.isnan(labels[rows]).all(axis=1)].tolist()
    if wrong:
        yield Finding(file=SOFT_LABELS, problem=f"rows {sorted(wrong)[:5]} differ from the records", advice=advice)
