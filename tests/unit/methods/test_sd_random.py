import numpy as np
import pytest
from pydantic import ValidationError

from ncm_lib import ClassList, NoiseCutMix, RealFilter, SDRandom
from ncm_lib.plan.sample import FullMask, Noise

CLASSES = ClassList.of([f"class {number}" for number in range(5)], meta_class="bird")


def method(**fields):
    return SDRandom(**({"classes": CLASSES, "seed": 3} | fields))


def made(table):
    return np.bincount(table.class_ids[:, 0], minlength=5).tolist()


def test_a_sample_is_one_class_from_noise_under_its_prompt():
    for sample in method().plan(0, 20):
        (share,), (condition,) = sample.label, sample.conditions
        assert share.weight == 1
        assert condition.prompt == f"a photo of a class {share.class_id} bird"
        assert (sample.start, sample.mask) == (Noise(), FullMask())


def test_balanced_rounds_have_each_class_as_often_as_its_count_says():
    assert made(method().plan(0, 35)) == [7] * 5
    counted = method(class_counts=(3, 0, 1, 0, 2))
    for first in range(0, 60, 6):
        assert made(counted.plan(first, first + 6)) == [3, 0, 1, 0, 2]


def test_random_classes_follow_their_odds_without_rounds():
    table = method(class_policy="random", class_counts=(1, 0, 2, 1, 0)).plan(0, 40_000)
    assert np.abs(np.array(made(table)) / 40_000 - np.array([1, 0, 2, 1, 0]) / 4).max() < 0.01
    assert any(made(method(class_policy="random").plan(first, first + 5)) != [1] * 5 for first in range(0, 50, 5))


def test_its_classes_are_those_that_lead_noisecutmix_with_the_same_seed():
    other = NoiseCutMix(classes=CLASSES, seed=3).plan(0, 100)
    assert np.array_equal(method().plan(0, 100).class_ids[:, 0], other.class_ids[:, 0])


def test_real_filter_plans_the_same_under_its_own_name():
    same = RealFilter(classes=CLASSES, seed=3)
    assert list(same.plan(0, 50)) == list(method().plan(0, 50))
    assert same.plan_hash() != method().plan_hash()


def test_plan_hash_tells_every_planning_field_apart():
    variants = [
        {}, {"seed": 1}, {"class_policy": "random"}, {"class_counts": (1, 1, 1, 1, 1)}, {"prompt": "{class}"},
    ]  # fmt: skip
    assert len({method(**variant).plan_hash() for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"class_counts": (1, 1)}, "2 class_counts came for 5 classes"),
        ({"class_counts": (0,) * 5}, "nothing is to be made"),
        ({"class_counts": (-1, 1, 1, 1, 1)}, "greater than or equal to 0"),
        ({"class_policy": "all"}, "'balanced' or 'random'"),
        ({"prompt": "a photo"}, "does not contain {class}"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        method(**fields)
