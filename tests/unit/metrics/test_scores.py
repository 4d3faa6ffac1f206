"""Accuracy, confusion and calibration, by hand and beside torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncm_lib import ClassList, InputError
from ncm_lib.metrics.drawings import confusion_picture, reliability_picture
from ncm_lib.metrics.scores import calibration, group_accuracies, scores


@pytest.fixture
def judged():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3] * 4, 500)
    labels = np.where(rng.random(500) < 0.6, probabilities.argmax(1), rng.integers(0, 4, 500)).astype(np.int64)
    return probabilities, labels


def test_scores_are_what_they_say(judged):
    probabilities, labels = judged
    found = scores(probabilities, labels)
    assert found.accuracy == (probabilities.argmax(1) == labels).mean()
    assert found.confusion.sum(axis=1).tolist() == np.bincount(labels).tolist()
    assert found.confusion.diagonal().sum() / 500 == pytest.approx(found.accuracy)
    assert found.loss == pytest.approx(-np.log(probabilities[np.arange(500), labels]).mean())


def test_the_mean_over_classes_leaves_out_empty_ones():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    found = scores(probabilities, np.array([0, 0, 1, 1]))
    assert (found.accuracy, found.balanced_accuracy) == (0.75, 0.75)
    assert scores(probabilities, np.array([0, 0, 0, 1])).balanced_accuracy == 1.0
    assert scores(probabilities, np.array([0, 1, 1, 1])).balanced_accuracy == pytest.approx((1 + 1 / 3) / 2)


def test_the_calibration_error_agrees_with_torchmetrics(judged):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    probabilities, labels = judged
    theirs = functional.multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=4, n_bins=15
    )
    assert calibration(probabilities, labels).ece == pytest.approx(float(theirs), abs=1e-6)


def test_a_classifier_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert calibration(probabilities, np.array([0, 0, 0, 1])).ece == pytest.approx(0)
    assert calibration(probabilities, np.array([1, 1, 1, 1])).ece == pytest.approx(0.75)


def test_an_impossible_class_costs_much_but_not_infinitely():
    assert np.isfinite(scores(np.array([[1.0, 0.0]]), np.array([1])).loss)


def test_nothing_to_score_is_refused():
    with pytest.raises(InputError, match="no image to score"):
        scores(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


def test_the_worst_group_is_seen():
    # Waterbirds: group = 2 * bird + background
    labels, background = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 1])
    found = group_accuracies(np.array([0, 1, 1, 1, 0]), labels, 2 * labels + background)
    assert found == {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.5}
    assert min(found, key=found.__getitem__) == 1


@pytest.mark.parametrize("count", [2, 30, 200])
def test_a_confusion_matrix_of_any_size_can_be_drawn(count):
    matrix = np.eye(count, dtype=np.int64) * 3
    names = ClassList.of(f"a rather long name of a class {number}" for number in range(count)).names
    picture = np.asarray(confusion_picture(matrix, names))
    # the diagonal is as blue as the darkest cell is
    assert (picture == (0x1F, 0x77, 0xD0)).all(axis=2).sum() >= count


def test_a_reliability_diagram_shows_the_error(judged):
    found = calibration(*judged)
    assert np.asarray(reliability_picture(found)).std() > 10
