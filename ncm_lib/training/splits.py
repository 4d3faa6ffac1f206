"""Which real images train and which choose the epoch, and long tails."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..sources.listing import SourceListing


def stratified_split(images: SourceListing, share: float, seed: int = 0) -> tuple[SourceListing, SourceListing]:
    """Split real images into training and validation, each class by the same share.

    Every class gives round(share * n) images to the validation, at least one and never its last one; a class of a
    single image stays in the training. Which ones depends on the seed and on their content.

    Args:
        images: of ``load_source``.
        share: in (0, 1).
        seed: at least 0.

    Returns:
        The training part and the validation part.

    Raises:
        InputError: no class has two images.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for number in range(10):
        ...     Path("birds/robin").mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (8, 8), (number, 0, 0)).save(f"birds/robin/{number}.png")
        >>> import ncm_lib as ncm
        >>> [len(part) for part in stratified_split(ncm.load_source("birds"), 0.2)]
        [8, 2]
    """
    counts = images.class_counts().tolist()
    chosen = [min(max(round(share * count), 1), count - 1) if count else 0 for count in counts]
    if not any(chosen):
        raise InputError(
            f"No class has two images (there are {len(images)} images of {len(counts)} classes), so none can be set "
            "aside to choose the epoch. Give validation images of their own."
        )
    held_out = images.subset(chosen, seed)
    kept = {digest.tobytes() for digest in held_out.digests}
    return images.take([row for row in range(len(images)) if images.digests[row].tobytes() not in kept]), held_out


def long_tail_counts(class_counts: Sequence[int], imbalance: float | int) -> list[int]:
    """How many images each class keeps in a long tail.

    With C classes, sorted by their number of images (the largest is i = 0), and N the mean count:

        n_i = max(trunc(N * imbalance^(i / (C - 2))), 1)

    Args:
        class_counts: images per class.
        imbalance: about the rarest class's share of the most frequent one's, in (0, 1]; 0.01 in Diff-II.

    Returns:
        One count per class, in the order that came; ``SourceListing.subset`` takes them.

    Raises:
        InputError: fewer than three classes, an illegal imbalance, or a class with fewer images than it is to keep.

    Example:
        >>> long_tail_counts([30] * 5, 0.01)
        [30, 6, 1, 1, 1]

    Reference:
        Wang and Chen, Diff-II, CVPR 2025, long-tail experiments.
    """
    counts = [int(count) for count in class_counts]
    if len(counts) < 3 or not 0 < imbalance <= 1:
        raise InputError(
            f"A long tail was asked for over {len(counts)} classes with imbalance {imbalance}; legal are 3 classes or "
            "more, and an imbalance above 0 and up to 1."
        )
    mean = sum(counts) / len(counts)
    order = sorted(range(len(counts)), key=lambda place: (-counts[place], place))
    tail = [0] * len(counts)
    for rank, place in enumerate(order):
        # Diff-II, long-tail experiments; the sum guards a product that falls short of a whole number by its last bit
        tail[place] = max(int(mean * imbalance ** (rank / (len(counts) - 2)) + 1e-9), 1)
    if short := [place for place, count in enumerate(counts) if count < tail[place]]:
        place = short[0]
        raise InputError(
            f"{len(short)} classes have fewer images than the long tail keeps: class {place} has {counts[place]} of "
            f"{tail[place]}. Take a smaller imbalance, or leave out the smallest classes."
        )
    return tail
