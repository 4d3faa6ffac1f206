"""Synthetic data sets that a classifier training takes in: checked whole before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..plan.classes import ClassList
from ..store.manifest import Manifest
from ..store.reader import SyntheticDataset
from ..typing import Float32

_TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class SyntheticSet:
    """One data set of format ncm-1 with its labels as a matrix."""

    path: Path
    data: SyntheticDataset
    labels: Float32[np.ndarray, "n classes"]
    sources: frozenset[str]
    """Content hashes of the real images that its samples start from."""
    identity: dict[str, Any]
    """What it is, by hashes: no path."""

    def __len__(self) -> int:
        return len(self.labels)


def open_synthetic(
    path: str | Path,
    classes: ClassList,
    *,
    incomplete: Literal["refuse", "use"] = "refuse",
    filter_name: str | None = None,
) -> SyntheticSet:
    """Open a synthetic data set beside real images of ``classes``.

    Args:
        path: the folder that a generation wrote.
        classes: of the real images: the same names, in the same order.
        incomplete: what becomes of a set that lacks planned samples.
        filter_name: only the samples that this filter of the data set keeps.

    Raises:
        InputError: no data set, no such filter, other classes or another order of them, a label that names an unknown
            class or does not sum to one, or samples that are missing.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    check_names(manifest.classes, classes.names, f"The synthetic data set {root}")
    data = SyntheticDataset(root, transform=_as_it_is)
    done = len(data)
    if filter_name is not None:
        data = SyntheticDataset(root, transform=_as_it_is, filter=filter_name)
    if done < manifest.count and incomplete == "refuse":
        raise InputError(
            f"{root} has {done} of its {manifest.count} planned samples. Run the generation again to make the "
            'others, or take what is there (incomplete="use").'
        )
    labels, sources, digest = np.zeros((len(data), len(classes)), dtype=np.float32), set[str](), hashlib.sha256()
    for place, record in enumerate(data.records):
        labels[place] = record.soft_label(len(classes))
        if abs(sum(record.weights) - 1) > _TOLERANCE:
            raise InputError(
                f"The label of sample {record.index} of {root} sums to {sum(record.weights):.6g}, not to one. "
                "`ncm verify` lists all such records; repair them or generate again."
            )
        sources.update(source for source in (record.source, record.source_b) if source is not None)
        digest.update(f"{record.index}:{record.class_ids}:{record.weights}\n".encode())
    identity = {
        "plan_hash": manifest.plan_hash,
        "render_hash": manifest.render_hash,
        "samples": len(data),
        "labels": digest.hexdigest(),
    }
    return SyntheticSet(path=root, data=data, labels=labels, sources=frozenset(sources), identity=identity)


def check_names(names: Sequence[str], expected: Sequence[str], what: str) -> None:
    """InputError unless two lists of class names are one, order included.

    Args:
        names: what came.
        expected: the real images' classes.
        what: whose names the first ones are, for the message.
    """
    if tuple(names) == tuple(expected):
        return
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing or extra:
        shown = "; ".join(
            f"{text} {_some(found)}" for text, found in (("it lacks", missing), ("it has beside them", extra)) if found
        )
        raise InputError(
            f"{what} has {len(names)} classes and the real images have {len(expected)}: {shown}. Both need the same "
            "names; generate with the class list of the real images."
        )
    place = next(place for place, (one, other) in enumerate(zip(names, expected, strict=True)) if one != other)
    raise InputError(
        f"{what} has the classes in another order: class {place} is {names[place]!r} there and {expected[place]!r} in "
        "the real images. Labels are columns, so the order must be the same; give both the same class list."
    )


def check_leaks(sets: Collection[SyntheticSet], test_hashes: Collection[str]) -> None:
    """InputError where a synthetic image was made from a test image."""
    for one in sets:
        if leaked := sorted(one.sources.intersection(test_hashes)):
            raise InputError(
                f"{one.path} was made from {len(leaked)} of the test images (such as {leaked[0][:12]}): a classifier "
                "that trains on it has seen the test. Generate from training images only."
            )


def _as_it_is(image: Any) -> Any:
    return image


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
