import numpy as np

from ncm_lib import ClassList, NoiseCutMix
from ncm_lib.plan.sample import PlanTable
from ncm_lib.plan.summary import QUANTILES, summarise


def test_classes_are_counted_by_their_place():
    method = NoiseCutMix(classes=ClassList.of("abc"), class_counts=(3, 0, 1), pair_policy="balanced")
    summary = summarise(method.plan(0, 40), 3)
    assert [counts.tolist() for counts in summary.places] == [[30, 0, 10], [5, 20, 15]]
    assert summary.samples == 40


def test_weights_are_those_of_class_a():
    table = NoiseCutMix(classes=ClassList.of("ab"), seed=3).plan(0, 1000)
    summary = summarise(table, 2)
    first = sorted(table.weights[:, 0])
    assert abs(summary.mean - sum(first) / 1000) < 1e-12
    for share, value in zip(QUANTILES, summary.quantiles, strict=True):
        assert abs(sum(weight <= value for weight in first) / 1000 - share) < 0.01
    expected = [sum(min(int(weight * 10), 9) == part for weight in first) / 1000 for part in range(10)]
    assert np.allclose(summary.histogram, expected, atol=0.002)


def test_a_plan_of_one_class_per_sample_has_one_place():
    ids = np.array([[0], [1], [1]], dtype=np.int32)
    table = PlanTable(
        index=np.arange(3),
        seed=np.arange(3),
        prompts=("a", "b"),
        prompt_ids=ids,
        class_ids=ids,
        weights=np.ones((3, 1)),
    )
    summary = summarise(table, 2)
    assert [counts.tolist() for counts in summary.places] == [[1, 2]]
    assert summary.histogram.tolist() == [0.0] * 9 + [1.0]
