"""``ncm evaluate``: how good a synthetic data set is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a synthetic data set: faithfulness, label agreement, diversity, distance to real images, copies of them.

    With --classifier: how often it takes an image for its class, whether it agrees with soft labels, its calibration.
    With --real: the Frechet distance, and the nearest real image of every synthetic one, so that memorised training
    images are seen. Distances are in the features of --features (without it, of the classifier), and named after it.

    For example:

    - ncm evaluate aug --classifier real-only --real birds
    - ncm evaluate aug --features resnet-50 --real birds --out evaluation
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    classifier: str | None = None
    """A classifier of the same classes, best one trained on real images that the generator has not seen: a folder of
    `ncm train-classifier`, or any transformers image classifier."""
    real: Path | None = None
    """The real training images."""
    features: str | None = None
    """The network whose features images are compared by: a folder or hub id of a transformers image classifier."""
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
            out=self.out,
            device=self.device,
        )
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        labels, seen = found.labels, found.features
        lines = [("images", f"{found.images}")]
        if labels is not None:
            lines += [
                ("taken for the class of largest weight", f"{100 * labels.faithfulness:.1f} %"),
                ("taken for a class of the label", f"{100 * labels.in_label:.1f} %"),
                ("rank correlation of weights and probabilities", _number(labels.agreement)),
                ("expected calibration error", f"{100 * labels.ece:.1f} %"),
            ]
        lines += [
            ("diversity", _number(seen.diversity)),
            ("diversity of the real images", _number(seen.real_diversity)),
            ("Frechet distance", _number(seen.frechet_distance)),
            ("median distance to the nearest real image", _number(seen.nearest_real)),
            ("the same among real images", _number(seen.nearest_among_real)),
            ("near copies of real images", "-" if seen.near_copies is None else f"{100 * seen.near_copies:.1f} %"),
        ]
        width = max(len(name) for name, _ in lines)
        print("\n".join(f"{name:{width}}  {value}" for name, value in lines))
        judge = "" if labels is None else f"labels judged by {labels.classifier}; "
        print(f"{judge}distances in the features of {seen.network}")
        return 0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
