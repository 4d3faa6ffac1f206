"""The filter of a row: what scores its synthetic images, and what the marks are called."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..metrics.clip_score import ClipScore
from ..metrics.filter import Filtered, Scorer, filter_dataset
from ..metrics.label_probability import LabelProbability
from .compare_plan import RowFilter


def scorer_of(row_filter: RowFilter, device: str, model: str) -> Scorer:
    """What scores, loaded.

    Args:
        row_filter: says what kind it is.
        device: where it runs.
        model: its folder: the filter's own, or that of its row's classifier.

    Raises:
        InputError: there is no such model.
    """
    if row_filter.by == "clip":
        return ClipScore(model, prompt=row_filter.prompt, device=device)
    return LabelProbability(model, device=device)


def filter_identity(row_filter: RowFilter, fingerprint: str) -> dict[str, Any]:
    """All that its marks depend on beside the images: no path.

    Args:
        row_filter: its settings.
        fingerprint: of what scores; the key of its task where that is a row's classifier.
    """
    own = {"by": row_filter.by, "keep": row_filter.keep, "per_class": row_filter.per_class}
    return own | {"fingerprint": fingerprint}


def mark(path: str, settings: dict[str, Any], identity: dict[str, Any], device: str, model: str) -> Filtered:
    """Mark the images of a data set under a name that belongs to the filter; what is scored is not scored again.

    Args:
        path: the data set.
        settings: a ``RowFilter`` as JSON.
        identity: its ``filter_identity``.
        device: where the model runs.
        model: folder of what scores.
    """
    row_filter = RowFilter.model_validate(settings)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return filter_dataset(
        path,
        scorer_of(row_filter, device, model),
        keep=row_filter.keep,
        per_class=row_filter.per_class,
        name=f"compare-{digest[:16]}",
    )
