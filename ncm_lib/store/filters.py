"""Filters: scores of the samples and marks of those to keep, beside the data set; they delete nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..errors import InputError
from ..typing import Bool, Float64, Int64
from .disk import plain_errors, replace_bytes
from .layout import FILTERS
from .ledger import Ledger
from .manifest import Manifest
from .record import Array

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class FilterHead(BaseModel):
    """The first line of a filter's file: what scored, and how many samples are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["ncm-filter-1"] = "ncm-filter-1"
    by: str = Field(min_length=1)
    """What the scores are: "clip" or "classifier"."""
    model: str
    """Its name, for people; never a path."""
    fingerprint: str
    """Of the model and of all else that fixes a score."""
    keep: float = Field(gt=0, le=1)
    """Share of the samples that is kept, those with the highest scores."""
    per_class: bool
    """Whether that share is taken of each class (by its largest weight) or of all samples."""
    plan_hash: str


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Scores and marks of m samples, by index: ``filters/NAME.jsonl``.

    The first line is the head; each other line is a sample:
    ``{"index": 12, "bytes": 5120, "score": 0.27, "kept": true}``.
    """

    head: FilterHead
    index: Int64[Array, " m"]
    bytes: Int64[Array, " m"]
    """Sizes of the image files that were scored: another size is another image, whose score is not known."""
    score: Float64[Array, " m"]
    kept: Bool[Array, " m"]

    @classmethod
    def read(cls, root: Path, name: str) -> Filter:
        """Read ``filters/NAME.jsonl`` of a data set.

        Raises:
            InputError: there is no filter of this name, or its file is damaged.
        """
        path = filter_path(root, name)
        try:
            head, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
            rows = [_row(line) for line in lines]
            columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
            return cls(
                head=FilterHead.model_validate_json(head),
                index=np.array(columns[0], dtype=np.int64),
                bytes=np.array(columns[1], dtype=np.int64),
                score=np.array(columns[2], dtype=np.float64),
                kept=np.array(columns[3], dtype=np.bool_),
            )
        except FileNotFoundError as error:
            there = sorted(file.stem for file in path.parent.glob("*.jsonl")) if path.parent.is_dir() else []
            raise InputError(
                f"{root} has no filter {name!r}; it has {', '.join(there) or 'none'}. `ncm filter` makes one."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no complete filter of format ncm-filter-1 ({type(error).__name__}). Delete it and run "
                "`ncm filter` again."
            ) from error

    def write(self, root: Path, name: str) -> Path:
        """Write the file at once; the path."""
        path = filter_path(root, name)
        lines = [json.dumps(self.head.model_dump(mode="json"))]
        columns = zip(self.index.tolist(), self.bytes.tolist(), self.score.tolist(), self.kept.tolist(), strict=True)
        lines += [
            json.dumps({"index": index, "bytes": size, "score": score, "kept": kept})
            for index, size, score, kept in columns
        ]
        with plain_errors(path):
            path.parent.mkdir(exist_ok=True)
            # two classifiers of a comparison may come to the same marks at the same time
            replace_bytes(path, ("\n".join(lines) + "\n").encode("ascii"), rank=os.getpid())
        return path


def filter_path(root: Path, name: str) -> Path:
    """``filters/clip.jsonl``.

    Raises:
        InputError: the name could not be a file's everywhere.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"The filter's name is {name!r}; legal are 1 to 64 small letters, digits, - and _, such as clip."
        )
    return root / FILTERS / f"{name}.jsonl"


def kept_by(ledger: Ledger, manifest: Manifest, name: str) -> Ledger:
    """A ledger in which only the samples are done that a filter keeps.

    Raises:
        InputError: no such filter, or it does not know every sample that is done: the data set has changed since.
    """
    marks = Filter.read(ledger.root, name)
    known, kept = np.zeros(len(ledger.sizes), dtype=np.bool_), np.zeros(len(ledger.sizes), dtype=np.bool_)
    inside = (marks.index >= 0) & (marks.index < len(known))
    index = marks.index[inside]
    known[index] = marks.bytes[inside] == ledger.sizes[index]
    kept[index] = marks.kept[inside]
    unknown = int(np.count_nonzero(ledger.done & ~known))
    if marks.head.plan_hash != manifest.plan_hash or unknown:
        raise InputError(
            f"The filter {name!r} of {ledger.root} does not know {unknown or 'the'} of its {int(ledger.done.sum())} "
            "samples: they were made after it. Run `ncm filter` again; scores that are there are taken over."
        )
    return dataclasses.replace(ledger, place=np.where(kept, ledger.place, -1))


def _row(line: str) -> tuple[int, int, float, bool]:
    row = cast("dict[str, Any]", json.loads(line))
    index, size, score, kept = row["index"], row["bytes"], row["score"], row["kept"]
    if not (type(index) is int and type(size) is int and type(kept) is bool and math.isfinite(score)):
        raise ValueError(line)
    return index, size, float(score), kept
