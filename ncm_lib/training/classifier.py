"""Train an image classifier on real and synthetic images, and tell the truth about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..metrics.classifier import classifier_fingerprint, device_of
from ..sources.listing import SourceListing
from ..sources.load import load_source
from ..store.disk import plain_errors
from ..store.lock import FolderLock
from ..wording import counted
from .accelerators import one_accelerator
from .classifier_config import FREE, ClassifierTraining
from .classifier_files import read_result, settle, write_result
from .classifier_run import ClassifierProgress, ClassifierRun
from .splits import stratified_split
from .synthetic import SyntheticSet, check_leaks, check_names, open_synthetic


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """What a training found."""

    path: Path
    """Its folder; ``path/model`` is the classifier in transformers' layout."""
    epoch: int
    """The epoch that the validation chose, counted from 0."""
    validation: dict[str, float | int]
    """accuracy and loss of that epoch."""
    test: dict[str, float | int] | None
    """count, accuracy, balanced_accuracy, loss and ece of that epoch's weights on the test images; None without any."""
    images: dict[str, int]
    """How many real images trained and validated, and how many synthetic ones there were."""
    notes: tuple[str, ...]


def train_classifier(
    train: SourceListing | str | Path,
    *,
    out: str | Path,
    synthetic: Sequence[str | Path] = (),
    validation: SourceListing | str | Path | None = None,
    test: SourceListing | str | Path | None = None,
    config: ClassifierTraining | None = None,
    device: str | None = None,
    on_progress: Callable[[ClassifierProgress], None] | None = None,
) -> TrainedClassifier:
    """Train a classifier; the epoch is chosen by validation images, and the test images are looked at once, at the end.

    Real images have hard labels, synthetic ones their soft labels; the loss is the cross entropy of either. The same
    arguments give the same weights on a CPU with the same number of threads, also after an interruption: the same call
    goes on at the last checkpoint, and a finished training is not repeated.

    Several processes (``accelerate launch``, torchrun) share every batch; call this in each of them.

    Args:
        train: real images (``load_source``), or their path.
        out: folder of the training; created, or continued.
        synthetic: data sets that a generation wrote; their classes must be those of ``train``.
        validation: images that choose the epoch. Without it, a stratified share of ``train`` does.
        test: images for the final scores.
        config: None is NoiseCutMix's protocol.
        device: "cpu", "cuda"...; None takes the best one there is.
        on_progress: called after every epoch.

    Returns:
        The scores, which ``out/result.json`` has too.

    Raises:
        InputError: classes, labels or splits that do not go together, another training in ``out``, bad settings.
        MissingExtraError: the network is one of timm's, and timm is not installed.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for name, colour in {"robin": (200, 0, 0), "wren": (0, 0, 200)}.items():
        ...     Path("birds", name).mkdir(parents=True, exist_ok=True)
        ...     for step in range(5):
        ...         Image.new("RGB", (32, 32), tuple(part + step for part in colour)).save(f"birds/{name}/{step}.png")
        >>> config = ClassifierTraining(model="resnet-32px", epochs=2)
        >>> train_classifier("birds", out="classifier", config=config, device="cpu").images
        {'train': 8, 'validation': 2, 'synthetic': 0}
    """
    settings = (config or ClassifierTraining()).settled()
    place = device_of(device)
    notes: list[str] = []
    real = train if isinstance(train, SourceListing) else load_source(train)
    if len(real.classes) < 2:
        raise InputError(
            f"A classifier cannot tell {counted(len(real.classes), 'class', 'classes')} apart "
            f"({real.classes.names[0]!r}). Give the images of at least 2 classes, each in a sub-folder of its own."
        )
    judged = _beside(real, test, "The test source")
    chooser = _beside(real, validation, "The validation source")
    real = _apart(real, judged, settings, notes)
    sets = [_opened(one, real, settings) for one in synthetic]
    check_leaks(sets, set() if judged is None else set(_hashes(judged)))
    parts = stratified_split(real, settings.validation, settings.seed) if chooser is None else (real, chooser)
    _tell(parts, sets, notes)
    folder = Path(out)
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with one_accelerator(cpu=place.type == "cpu", mixed_precision=settings.mixed_precision) as state:
        if place.index is not None and state.num_processes == 1:
            torch.cuda.set_device(place)
        lock = FolderLock(folder)
        if state.is_main_process:
            lock.acquire()
        try:
            if state.is_main_process:
                settle(folder, _head(parts, judged, sets, settings))
            state.wait_for_everyone()
            result: dict[str, Any] | None = read_result(folder)
            if result is None:
                with plain_errors(folder):
                    run = ClassifierRun(
                        folder=folder,
                        real=parts[0],
                        validation=parts[1],
                        synthetic=sets,
                        config=settings,
                        device=place,
                        on_progress=on_progress,
                    )
                    result = {**run.train(judged, state), "notes": notes}
                    if state.is_main_process:
                        write_result(folder, result)
                    state.wait_for_everyone()
                    result = read_result(folder) or result
        finally:
            lock.release()
    return TrainedClassifier(
        path=folder,
        epoch=result["epoch"],
        validation=result["validation"],
        test=result["test"],
        images=result["images"],
        notes=tuple(result["notes"]),
    )


def _beside(real: SourceListing, other: SourceListing | str | Path | None, what: str) -> SourceListing | None:
    """Another part of the same data, under the same classes."""
    if other is None:
        return None
    if not isinstance(other, SourceListing):
        return load_source(other, classes=real.classes)
    check_names(other.classes.names, real.classes.names, what)
    return other


def _apart(
    real: SourceListing, test: SourceListing | None, config: ClassifierTraining, notes: list[str]
) -> SourceListing:
    """The training images without those of the test."""
    known = set() if test is None else set(_hashes(test))
    kept = [row for row, content in enumerate(_hashes(real)) if content not in known]
    shared = len(real) - len(kept)
    if not shared:
        return real
    if config.shared == "refuse":
        first = next(row for row, content in enumerate(_hashes(real)) if content in known)
        raise InputError(
            f"{counted(shared, 'image')} found both in the training and in the test source, such as "
            f"{real[first].where}: the test would not be one. Take them out of one of the two, or drop them from the "
            'training (shared="drop").'
        )
    notes.append(f"{counted(shared, 'training image')} found in the test too, and dropped from the training")
    return real.take(kept)


def _hashes(images: SourceListing) -> list[str]:
    return [digest.tobytes().hex() for digest in images.digests]


def _opened(path: str | Path, real: SourceListing, config: ClassifierTraining) -> SyntheticSet:
    return open_synthetic(path, real.classes, incomplete=config.incomplete, filter_name=config.filter)


def _tell(parts: tuple[SourceListing, SourceListing], sets: Sequence[SyntheticSet], notes: list[str]) -> None:
    """What a reader of the scores should know."""
    empty = [name for name, count in zip(parts[0].classes.names, parts[0].class_counts(), strict=True) if not count]
    if empty:
        notes.append(f"classes without real training images: {', '.join(map(repr, empty[:5]))} ({len(empty)} in all)")
    chosen_by = set(_hashes(parts[1]))
    for one in sets:
        if shared := len(one.sources & chosen_by):
            notes.append(
                f"{one.path.name} was made from {shared} of the {len(chosen_by)} validation images too: the validation "
                "accuracy flatters, the test accuracy does not"
            )


def _head(
    parts: tuple[SourceListing, SourceListing],
    test: SourceListing | None,
    sets: Sequence[SyntheticSet],
    config: ClassifierTraining,
) -> dict[str, Any]:
    """All that fixes the weights and the scores."""
    start = classifier_fingerprint(config.model) if Path(config.model).is_dir() else config.model
    return {
        "format": "ncm-classifier-training-1",
        "classes": list(parts[0].classes.names),
        "train": parts[0].hash(),
        "validation_images": parts[1].hash(),
        "test": None if test is None else test.hash(),
        "synthetic": [one.identity for one in sets],
        "start": start,
        # a renamed folder of the same network is the same network
        "config": config.model_dump(mode="json", exclude={*FREE, "model"}),
    }
