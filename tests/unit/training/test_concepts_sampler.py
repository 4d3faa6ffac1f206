"""The order in which a training sees its images."""

import numpy as np
import pytest

from ncm_lib import InputError
from ncm_lib.training.concepts_sampler import ConceptSampler


def rows(pictures, sampling, start, stop, seed=0):
    return ConceptSampler(images=pictures, sampling=sampling, seed=seed).draw(start, stop).rows.tolist()


def test_shuffled_shows_every_image_once_before_any_again(pictures):
    epochs = [rows(pictures, "shuffled", 10 * epoch, 10 * epoch + 10) for epoch in range(6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_balanced_shows_every_class_once_before_any_again(pictures):
    class_ids = pictures.class_ids[rows(pictures, "balanced", 0, 300)].reshape(100, 3)
    assert (np.sort(class_ids, axis=1) == [0, 1, 2]).all()
    assert len({tuple(turn) for turn in class_ids.tolist()}) == 6


def test_balanced_shows_every_image_of_a_class_equally_often(pictures):
    shown = np.bincount(rows(pictures, "balanced", 0, 90), minlength=10)
    # 30 visits of each class: 3 owls, 5 robins, 2 wrens
    assert shown.tolist() == [10] * 3 + [6] * 5 + [15] * 2


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_any_step_can_be_the_first(pictures, sampling):
    sampler = ConceptSampler(images=pictures, sampling=sampling, seed=3)
    whole, part = sampler.draw(0, 50), sampler.draw(37, 45)
    for name in ("rows", "levels", "flips", "crops", "seeds"):
        assert (getattr(whole, name)[37:45] == getattr(part, name)).all(), name


def test_another_seed_is_another_order_and_other_draws(pictures):
    first, second = (ConceptSampler(images=pictures, sampling="shuffled", seed=seed).draw(0, 40) for seed in (0, 1))
    for name in ("rows", "levels", "flips", "crops", "seeds"):
        assert (getattr(first, name) != getattr(second, name)).any(), name


def test_levels_and_flips_are_spread_over_all_there_is(pictures):
    draws = ConceptSampler(images=pictures, sampling="shuffled", seed=0).draw(0, 4000)
    assert np.histogram(draws.levels, 10, (0, 1))[0].min() > 330
    assert 0.45 < draws.flips.mean() < 0.55
    assert len(np.unique(draws.seeds)) == 4000


def test_a_class_without_images_is_refused_by_name(pictures):
    without_wrens = pictures.take(range(8))
    with pytest.raises(InputError) as error:
        ConceptSampler(images=without_wrens, sampling="shuffled", seed=0)
    assert str(error.value) == (
        "1 of 3 classes have no images: 'wren'. A concept is learned from images: add some (one per class is enough), "
        "or leave these classes out."
    )
