"""What a classifier's probabilities say about it: accuracy, confusion, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..typing import Float64, Int64

BINS = 15


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How sure a classifier was, and how often it was right, by bins of its confidence."""

    counts: Int64[np.ndarray, " bins"]
    confidence: Float64[np.ndarray, " bins"]
    """Mean confidence of a bin; 0 where it is empty."""
    accuracy: Float64[np.ndarray, " bins"]
    ece: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A classifier on labelled images."""

    count: int
    accuracy: float
    balanced_accuracy: float
    """Mean over the classes that have images."""
    loss: float
    """Mean cross entropy of the true classes."""
    calibration: Calibration
    confusion: Int64[np.ndarray, "classes classes"]
    """Row: true class; column: what it was taken for."""

    def to_json(self) -> dict[str, Any]:
        """Numbers without the arrays."""
        return {
            "count": self.count,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
            "ece": self.calibration.ece,
        }


def scores(probabilities: Float64[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"]) -> Scores:
    """Score a classifier's probabilities.

    Args:
        probabilities: rows that sum to one.
        labels: true class ids.

    Raises:
        InputError: there is no image.

    Example:
        >>> scores(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).accuracy
        0.5
    """
    if not len(labels):
        raise InputError("There is no image to score a classifier on; give at least one.")
    confusion = confusion_matrix(probabilities.argmax(axis=1), labels, probabilities.shape[1])
    counts = confusion.sum(axis=1)
    right = confusion.diagonal()
    chosen = probabilities[np.arange(len(labels)), labels]
    return Scores(
        count=len(labels),
        accuracy=float(right.sum() / len(labels)),
        balanced_accuracy=float((right[counts > 0] / counts[counts > 0]).mean()),
        loss=float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean()),
        calibration=calibration(probabilities, labels),
        confusion=confusion,
    )


def confusion_matrix(
    predictions: Int64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], num_classes: int
) -> Int64[np.ndarray, "num_classes num_classes"]:
    """Count what every class was taken for.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    return np.bincount(labels * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, num_classes)


def calibration(
    probabilities: Float64[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"], bins: int = BINS
) -> Calibration:
    """Compare confidence and accuracy.

    ECE = sum_b n_b / n * |accuracy_b - confidence_b| over bins of equal width, a confidence c in bin b where
    b / bins < c <= (b + 1) / bins.

    Args:
        probabilities: rows that sum to one.
        labels: true class ids.
        bins: at least 1.

    Example:
        >>> round(calibration(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])).ece, 6)
        0.4

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / filled
    accuracy = np.bincount(place, weights=right, minlength=bins) / filled
    # Eq. 3, Guo et al. 2017
    ece = float((counts * np.abs(accuracy - mean_confidence)).sum() / len(labels))
    return Calibration(counts=counts, confidence=mean_confidence, accuracy=accuracy, ece=ece)


def group_accuracies(
    predictions: Int64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]
) -> dict[int, float]:
    """Accuracy of every group of images, such as Waterbirds' (bird, background) pairs; its least is the worst group's.

    Args:
        predictions: class ids.
        labels: true class ids.
        groups: which group an image belongs to, such as 2 * bird + background.

    Example:
        >>> group_accuracies(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0, 1, 1]))
        {0: 1.0, 1: 0.5}

    Reference:
        Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, ICLR 2020.
    """
    return {int(group): float((predictions == labels)[groups == group].mean()) for group in np.unique(groups)}
