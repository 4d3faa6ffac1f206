"""Label probability: how sure a classifier is of an image's own label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..plan.classes import ClassList
from ..typing import Float64
from .classifier import classifier_fingerprint, load_classifier


class LabelProbability:
    """Softmax probability of each class, in [0, 1].

    Args:
        classifier: a folder that ``ncm train-classifier`` wrote, any folder of a transformers image classifier, or a
            hub id. Its labels must be the data set's classes, in whatever order.
        device: "cpu", "cuda"...; None takes the best one there is.

    Raises:
        InputError: there is no such classifier.
    """

    by = "classifier"

    def __init__(self, classifier: str | Path, *, device: str | None = None) -> None:
        self._classifier = load_classifier(classifier, device=device)
        self.model = Path(classifier).name
        self.fingerprint = classifier_fingerprint(classifier)

    def class_scores(self, images: Sequence[Image.Image], classes: ClassList) -> Float64[np.ndarray, "n classes"]:
        """The score of every image for every class.

        Raises:
            InputError: the classifier tells other classes apart.
        """
        order = classes.order_of(self._classifier.classes, f"The classifier {self.model}")
        ready = self._classifier.preparation
        return self._classifier.probabilities(ready.cropped(ready.scaled(image)) for image in images)[:, order]
