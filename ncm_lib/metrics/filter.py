"""Marks the samples that fit their labels worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ..errors import InputError
from ..plan.classes import ClassList
from ..store.filters import Filter, FilterHead, filter_path
from ..store.images import decode_image
from ..store.layout import image_name
from ..store.ledger import Ledger
from ..store.manifest import Manifest, refuse_empty
from ..store.records import Records
from ..typing import Bool, Float64, Int64


@runtime_checkable
class Scorer(Protocol):
    """Says how well images fit classes: ``ClipScore``, ``LabelProbability``, or your own."""

    @property
    def by(self) -> str:
        """What the scores are; names the filter."""
        ...

    @property
    def model(self) -> str:
        """The name of what scores, for people; no path."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of all that fixes a score."""
        ...

    def class_scores(self, images: Sequence[Image.Image], classes: ClassList) -> Float64[np.ndarray, "n classes"]:
        """The score of every image for every class; higher is better."""
        ...


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """What ``filter_dataset`` did."""

    path: Path
    """The filter's file."""
    name: str
    count: int
    """Samples that are done, and so have a score."""
    kept: int
    scored: int
    """Samples that were scored now; the others' scores were there."""
    threshold: float | None
    """The lowest score that is kept; None where every class has its own."""


def filter_dataset(
    path: str | Path,
    scorer: Scorer,
    *,
    keep: float | int = 0.9,
    per_class: bool = False,
    name: str | None = None,
    batch_size: int = 32,
    on_progress: Callable[[int, int], object] | None = None,
) -> Filtered:
    """Score every finished sample and mark those to keep; images, records and labels stay as they are.

    The score of a sample is that of its soft label:

        score = sum_c w_c * score(image, class c)

    The marks are in ``filters/NAME.jsonl``. ``SyntheticDataset(path, filter=NAME)`` and ``export(..., filter=NAME)``
    honour them, and nothing else does. Called again, only images that have no score yet are scored: after an
    interruption, an extension of the data set, or with another ``keep``.

    Args:
        path: the data set.
        scorer: ``ClipScore(...)`` or ``LabelProbability(...)``.
        keep: share of the samples to keep, in (0, 1]: those with the highest scores; at least one is kept.
        per_class: take the share of each class (by the largest weight), so that none loses more than others.
        name: of the filter; None is the scorer's ``by``.
        batch_size: images that are scored at once.
        on_progress: called with (samples that are scored, all that are done).

    Returns:
        How many were kept, and where the marks are.

    Raises:
        InputError: no data set or none with a finished sample, ``keep`` out of its range, an unreadable image, classes
            that the scorer does not know, or a score that is not finite.

    Example:
        >>> filter_dataset("aug", ClipScore("clip-vit-base-patch32"), keep=0.9)  # doctest: +SKIP
        >>> data = SyntheticDataset("aug", filter="clip")  # doctest: +SKIP

    Reference:
        He et al., Is synthetic data from generative models ready for image recognition?, ICLR 2023.
    """
    if not 0 < keep <= 1:
        raise InputError(f"keep is {keep}; legal is a share above 0, up to 1: 0.9 keeps nine of ten samples.")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; legal is 1 or more.")
    root, named = Path(path), name or scorer.by
    manifest = Manifest.read(root)
    filter_path(root, named)
    ledger = Ledger.read(root, manifest)
    records = Records(ledger)
    refuse_empty(root, manifest, bool(records))
    head = FilterHead(
        by=scorer.by,
        model=scorer.model,
        fingerprint=scorer.fingerprint,
        keep=keep,
        per_class=per_class,
        plan_hash=manifest.plan_hash,
    )
    index = np.flatnonzero(ledger.done)
    sizes = ledger.sizes[index]
    scores = _known_scores(root, named, head, index, sizes)
    missing = np.flatnonzero(np.isnan(scores))
    classes = ClassList.of(manifest.classes, manifest.meta_class)

    def write() -> Bool[np.ndarray, " m"]:
        there = np.flatnonzero(~np.isnan(scores))
        groups = _groups(records, there) if per_class else np.zeros(len(there), dtype=np.int64)
        kept = highest(scores[there], groups, keep)
        Filter(head=head, index=index[there], bytes=sizes[there], score=scores[there], kept=kept).write(root, named)
        return kept

    for start in range(0, len(missing), batch_size):
        part = missing[start : start + batch_size]
        try:
            scores[part] = _scored(root, manifest, records, part, scorer, classes)
        except BaseException:
            if start:
                # kept for the next call; nobody reads marks that do not know all samples
                write()
            raise
        if on_progress is not None:
            on_progress(len(index) - len(missing) + start + len(part), len(index))
    kept = write()
    return Filtered(
        path=filter_path(root, named),
        name=named,
        count=len(index),
        kept=int(kept.sum()),
        scored=len(missing),
        threshold=None if per_class else float(scores[kept].min()),
    )


def highest(
    scores: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], keep: float | int
) -> Bool[np.ndarray, " n"]:
    """Mark the highest scores of each group: all but floor((1 - keep) * n), the first of equal ones.

    Example:
        >>> highest(np.array([0.3, 0.1, 0.2, 0.9]), np.zeros(4, dtype=np.int64), 0.75).tolist()
        [True, False, True, True]
    """
    kept = np.ones(len(scores), dtype=np.bool_)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        dropped = math.floor((1 - keep) * len(rows) + 1e-9)
        # of equal scores the last go first
        order = np.lexsort((-rows, scores[rows]))
        kept[rows[order[:dropped]]] = False
    return kept


def _known_scores(
    root: Path, name: str, head: FilterHead, index: Int64[np.ndarray, " n"], sizes: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Scores of an earlier call by the same model of the same images; NaN elsewhere."""
    scores = np.full(len(index), np.nan)
    if not filter_path(root, name).is_file():
        return scores
    try:
        before = Filter.read(root, name)
    except InputError:
        # it is derived, and written anew
        return scores
    same = ("by", "fingerprint", "plan_hash")
    if all(getattr(before.head, key) == getattr(head, key) for key in same):
        _, ours, theirs = np.intersect1d(index, before.index, return_indices=True)
        equal = sizes[ours] == before.bytes[theirs]
        scores[ours[equal]] = before.score[theirs[equal]]
    return scores


def _scored(
    root: Path, manifest: Manifest, records: Records, part: Int64[np.ndarray, " m"], scorer: Scorer, classes: ClassList
) -> Float64[np.ndarray, " m"]:
    """Scores of the samples at these positions."""
    chosen = [records[int(position)] for position in part]
    images: list[Image.Image] = []
    for record in chosen:
        file = root / image_name(record.index, manifest.image_format)
        try:
            images.append(decode_image(file.read_bytes(), str(file)))
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}). `ncm verify` says what is wrong.") from error
    labels = np.stack([record.soft_label(len(classes)) for record in chosen]).astype(np.float64)
    # score = sum_c w_c * score(image, class c)
    scores = (labels * scorer.class_scores(images, classes)).sum(axis=1)
    if not np.isfinite(scores).all():
        wrong = chosen[int(np.flatnonzero(~np.isfinite(scores))[0])].file_name
        raise InputError(f"The score of {wrong} by {scorer.model} is not a finite number; its weights may be damaged.")
    return scores


def _groups(records: Records, positions: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The class with the largest weight, per sample."""
    chosen = (records[int(position)] for position in positions)
    return np.array([row.class_ids[int(np.argmax(row.weights))] for row in chosen], dtype=np.int64)
