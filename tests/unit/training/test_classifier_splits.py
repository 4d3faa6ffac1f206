"""Validation splits and long tails."""

from __future__ import annotations

import pytest

from ncm_lib import InputError
from ncm_lib.training.splits import long_tail_counts, stratified_split


def test_every_class_gives_its_share_and_keeps_at_least_one(pictures):
    train, held_out = stratified_split(pictures, 0.4)
    assert held_out.class_counts().tolist() == [1, 2, 1]
    assert train.class_counts().tolist() == [2, 3, 1]
    both = {image.content_hash for image in train} | {image.content_hash for image in held_out}
    assert both == {image.content_hash for image in pictures}
    assert len(both) == len(train) + len(held_out)


def test_the_seed_says_which_images_are_held_out(pictures):
    assert stratified_split(pictures, 0.4, 1)[1] == stratified_split(pictures, 0.4, 1)[1]
    assert len({stratified_split(pictures, 0.4, seed)[1].hash() for seed in range(6)}) > 1


@pytest.mark.parametrize(("imbalance", "total", "singles"), [(0.01, 1242, 83), (0.1, 2238, 0)])
def test_the_long_tail_of_cub_is_the_papers(imbalance, total, singles):
    # 5,994 images of 200 classes: 194 of them with 30 and six with 29
    counts = long_tail_counts([30] * 194 + [29] * 6, imbalance)
    assert sum(counts) == total
    assert counts.count(1) == singles
    if imbalance == 0.01:
        assert [counts[place] for place in (0, 50, 100, 199)] == [29, 9, 2, 1]


def test_larger_classes_stay_larger():
    assert long_tail_counts([10, 40, 10], 0.1) == [2, 20, 1]


def test_a_tail_that_a_class_cannot_fill_is_refused():
    with pytest.raises(InputError, match="class 2 has 1 of"):
        long_tail_counts([100, 100, 1, 100], 1.0)
    with pytest.raises(InputError, match="over 2 classes with imbalance 0"):
        long_tail_counts([5, 5], 0)
