"""How good a synthetic data set is: faithful, varied, near to the real images, and not a copy of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from scipy import stats

from ..errors import InputError
from ..sources.listing import SourceListing
from ..sources.load import load_source
from ..store.disk import plain_errors, replace_bytes
from ..store.reader import SyntheticDataset
from ..typing import Float32, Float64, Int64, UInt8
from .classifier import Classifier, load_classifier
from .frechet import frechet_distance
from .lpips import Lpips, load_lpips
from .lpips_diversity import lpips_diversity
from .neighbours import diversity, nearest, unit
from .scores import calibration

_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """What a classifier says about the labels."""

    classifier: str
    faithfulness: float
    """Share of the images that are taken for the class of their largest weight."""
    in_label: float
    """Share that are taken for any class of their label."""
    agreement: float | None
    """Spearman's rank correlation, over images of two classes, of the first one's weight and of its share of the two
    probabilities; None where there are no such images, or nothing varies."""
    ece: float
    """Expected calibration error against the classes of largest weight."""


@dataclass(frozen=True, kw_only=True)
class FeatureScores:
    """What a network's features say about the images, in distances between rows of length 1."""

    network: str
    """Whose features: the input of its last linear layer."""
    diversity: float | None
    """Mean distance between two images of one class, mean over the classes."""
    real_diversity: float | None
    """The same for the real images; None without them."""
    frechet_distance: float | None
    """Between synthetic and real images, in the features as they are. It is no FID unless the network is Inception."""
    nearest_real: float | None
    """Median distance from a synthetic image to the nearest real one."""
    nearest_among_real: float | None
    """Median distance from a real image to the nearest other real one."""
    near_copies: float | None
    """Share of the synthetic images that are nearer to a real one than 99 in 100 real images are to any other."""
    nearest_pairs: tuple[dict[str, Any], ...]
    """The nearest ones: index, content hash of the real image, and distance."""


@dataclass(frozen=True, kw_only=True)
class LpipsScores:
    """How different two images of one class look, by LPIPS."""

    weights: str
    network: str
    """alex or vgg."""
    diversity: float | None
    """Mean LPIPS between two images of one class, mean over the classes."""
    pairs: int
    """So many pairs were compared."""
    real_diversity: float | None
    """The same for the real images, brought to the synthetic ones' size; None without them."""
    real_pairs: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found."""

    path: Path
    images: int
    real_images: int | None
    labels: LabelScores | None
    features: FeatureScores | None
    lpips: LpipsScores | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``evaluation.json`` has it."""
        return asdict(self) | {"path": self.path.name}


def evaluate(
    dataset: str | Path,
    *,
    classifier: str | Path | None = None,
    real: SourceListing | str | Path | None = None,
    features: str | Path | None = None,
    lpips: Sequence[str | Path] | str | Path | None = None,
    lpips_pairs: int = 50,
    out: str | Path | None = None,
    device: str | None = None,
) -> Evaluation:
    """Measure a synthetic data set.

    Args:
        dataset: folder that a generation wrote.
        classifier: a classifier of the same classes, trained on real images, to judge labels by (``load_classifier``).
        real: the real training images, to measure distance and copies against.
        features: a network to compare images by, such as one trained on ImageNet; the classifier where it is None.
        lpips: files of LPIPS's weights (``load_lpips``), to measure diversity as eyes would.
        lpips_pairs: at most so many pairs per class are compared by it; they are the same each time.
        out: folder for ``evaluation.json`` and ``nearest.png``, the nearest pairs side by side.
        device: "cpu", "cuda"...; None takes the best one there is.

    Returns:
        The numbers, with the names of the networks that they come from.

    Raises:
        InputError: no classifier, features or LPIPS, other classes, or what cannot be read.
        MissingExtraError: torchmetrics is needed for the Frechet distance and not installed.
    """
    if classifier is None and features is None and lpips is None:
        raise InputError(
            "An evaluation looks through a network: give a classifier, features, weights of LPIPS, or more than one."
        )
    data = SyntheticDataset(dataset, transform=_as_it_is)
    labels = np.stack([record.soft_label(len(data.classes)) for record in data.records])
    judge = None if classifier is None else load_classifier(classifier, device=device)
    if judge is not None and judge.classes != data.classes:
        raise InputError(
            f"The classifier {classifier} tells {len(judge.classes)} classes apart ({', '.join(judge.classes[:5])}...) "
            f"and {data.path} has {len(data.classes)} ({', '.join(data.classes[:5])}...): names and order must be the "
            "same. Take a classifier of these classes, or give it as features only."
        )
    eyes = judge if features is None else load_classifier(features, device=device)
    perception = None if lpips is None else load_lpips(lpips, device=device)
    listing = load_source(real) if isinstance(real, str | Path) else real
    notes: list[str] = []
    found = Evaluation(
        path=data.path,
        images=len(data),
        real_images=None if listing is None else len(listing),
        labels=None if judge is None else _labels(judge, data, labels),
        features=None if eyes is None else _features(eyes, data, labels, listing, notes),
        lpips=None if perception is None else _lpips(perception, data, labels, listing, lpips_pairs),
        notes=tuple(notes),
    )
    if out is not None:
        _write(Path(out), found, data, listing)
    return found


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _pictures(network: Classifier, data: SyntheticDataset | SourceListing) -> Iterator[UInt8[np.ndarray, "3 h w"]]:
    ready = network.preparation
    for place in range(len(data)):
        image = data.read(place) if isinstance(data, SourceListing) else data[place][0]
        yield ready.cropped(ready.scaled(image))


def _labels(judge: Classifier, data: SyntheticDataset, labels: Float32[np.ndarray, "n classes"]) -> LabelScores:
    probabilities = judge.probabilities(_pictures(judge, data))
    taken = probabilities.argmax(axis=1)
    rows = np.arange(len(taken))
    return LabelScores(
        classifier=judge.name,
        # where weights are equal, either class is right
        faithfulness=float((labels[rows, taken] == labels.max(axis=1)).mean()),
        in_label=float((labels[rows, taken] > 0).mean()),
        agreement=_agreement(probabilities, labels),
        ece=calibration(probabilities, labels.argmax(axis=1).astype(np.int64)).ece,
    )


def _agreement(
    probabilities: Float64[np.ndarray, "n classes"], labels: Float32[np.ndarray, "n classes"]
) -> float | None:
    """Over images of two classes: is the class with more of the label the likelier one, and the more so?"""
    mixed = np.flatnonzero((labels > 0).sum(axis=1) == 2)
    weights, shares = np.zeros(len(mixed)), np.zeros(len(mixed))
    for place, row in enumerate(mixed):
        first, second = np.flatnonzero(labels[row])
        weights[place] = labels[row, first]
        shares[place] = probabilities[row, first] / max(probabilities[row, [first, second]].sum(), 1e-300)
    if len(mixed) < 3 or np.ptp(weights) == 0 or np.ptp(shares) == 0:
        return None
    found: Any = stats.spearmanr(weights, shares)
    return float(found.statistic)


def _features(
    eyes: Classifier,
    data: SyntheticDataset,
    labels: Float32[np.ndarray, "n classes"],
    real: SourceListing | None,
    notes: list[str],
) -> FeatureScores:
    made = eyes.features(_pictures(eyes, data))
    hard = labels.argmax(axis=1).astype(np.int64)
    numbers: dict[str, Any] = dict.fromkeys(
        ("real_diversity", "frechet_distance", "nearest_real", "nearest_among_real", "near_copies")
    )
    pairs: tuple[dict[str, Any], ...] = ()
    if real is not None:
        theirs = eyes.features(_pictures(eyes, real))
        numbers["real_diversity"] = diversity(unit(theirs), real.class_ids.astype(np.int64))
        if min(len(made), len(theirs)) > 1:
            numbers["frechet_distance"] = frechet_distance(theirs, made)
            if min(len(made), len(theirs)) <= made.shape[1]:
                notes.append(
                    f"the Frechet distance rests on {len(theirs)} real and {len(made)} synthetic images in "
                    f"{made.shape[1]} dimensions; with so few it is too large, so compare it at equal numbers only"
                )
        closest = nearest(unit(made), unit(theirs))
        numbers["nearest_real"] = float(np.median(closest.distances))
        pairs = _pairs(closest.distances, closest.rows, data, real)
        if len(real) > 1:
            among = nearest(unit(theirs), unit(theirs), same=True).distances
            numbers["nearest_among_real"] = float(np.median(among))
            numbers["near_copies"] = float((closest.distances < np.quantile(among, 0.01)).mean())
    return FeatureScores(network=eyes.name, diversity=diversity(unit(made), hard), nearest_pairs=pairs, **numbers)


def _lpips(
    network: Lpips,
    data: SyntheticDataset,
    labels: Float32[np.ndarray, "n classes"],
    real: SourceListing | None,
    pairs: int,
) -> LpipsScores:
    size = data[0][0].size
    made = lpips_diversity(
        network, _fitted(lambda row: data[row][0], size), labels.argmax(axis=1).astype(np.int64), pairs=pairs
    )
    theirs = None
    if real is not None:
        theirs = lpips_diversity(network, _fitted(real.read, size), real.class_ids.astype(np.int64), pairs=pairs)
    return LpipsScores(
        weights=network.name,
        network=network.kind,
        diversity=made.mean,
        pairs=made.pairs,
        real_diversity=None if theirs is None else theirs.mean,
        real_pairs=0 if theirs is None else theirs.pairs,
    )


def _fitted(read: Callable[[int], Image.Image], size: tuple[int, int]) -> Callable[[int], UInt8[np.ndarray, "3 h w"]]:
    """The pixels of a row's image, scaled to cover a size and cut to it around the middle."""

    def pixels(row: int) -> UInt8[np.ndarray, "3 h w"]:
        image = read(row).convert("RGB")
        if image.size != size:
            image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    return pixels


def _pairs(
    distances: Float64[np.ndarray, " n"], rows: Int64[np.ndarray, " n"], data: SyntheticDataset, real: SourceListing
) -> tuple[dict[str, Any], ...]:
    order = np.argsort(distances, kind="stable")[:_SHOWN]
    return tuple(
        {
            "index": data.records[int(place)].index,
            "real": real[int(rows[place])].content_hash,
            "distance": float(distances[place]),
        }
        for place in order
    )


def _write(folder: Path, found: Evaluation, data: SyntheticDataset, real: SourceListing | None) -> None:
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found.to_json(), indent=2, ensure_ascii=True)
        replace_bytes(folder / "evaluation.json", f"{text}\n".encode("ascii"))
        if real is not None and found.features is not None:
            buffer = io.BytesIO()
            _pair_picture(found.features, data, real).save(buffer, "PNG")
            replace_bytes(folder / "nearest.png", buffer.getvalue())


def _pair_picture(found: FeatureScores, data: SyntheticDataset, real: SourceListing) -> Image.Image:
    """Synthetic images on top, the nearest real image below each."""
    side, gap = 96, 8
    place_of = {record.index: place for place, record in enumerate(data.records)}
    pairs = found.nearest_pairs
    sheet = Image.new("RGB", (gap + len(pairs) * (side + gap), 2 * side + 3 * gap), "#ffffff")
    for column, pair in enumerate(pairs):
        for row, image in enumerate((data[place_of[pair["index"]]][0], real.read(pair["real"]))):
            sheet.paste(image.resize((side, side)), (gap + column * (side + gap), gap + row * (side + gap)))
    return sheet
