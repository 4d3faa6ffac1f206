"""Which image stands where: order, replacement, partners."""

from __future__ import annotations

import numpy as np
import pytest

from ncm_lib.training.classifier_config import ClassifierTraining
from ncm_lib.training.classifier_schedule import Schedule

ONE_HOT = np.eye(3, dtype=np.float32)
# four real images of class 0, two of class 1, one of class 2; synthetic ones of the classes 0 and 1 only
REAL = ONE_HOT[[0, 0, 0, 0, 1, 1, 2]]
SYNTHETIC = np.array([[0.6, 0.4, 0], [0, 1, 0], [0.3, 0.7, 0], [1, 0, 0]], dtype=np.float32)
LABELS = np.concatenate([REAL, SYNTHETIC])


def schedule(labels=LABELS, **fields) -> Schedule:
    config = ClassifierTraining(**({"model": "resnet-32px", "batch_size": 4, "epochs": 40} | fields))
    return Schedule(real=len(REAL), labels=labels, config=config.settled())


def epoch_items(one: Schedule, epoch: int) -> np.ndarray:
    steps = range(epoch * one.steps_per_epoch, (epoch + 1) * one.steps_per_epoch)
    return np.concatenate([one.batch(step).slots.items for step in steps])


def all_items(one: Schedule) -> np.ndarray:
    return np.concatenate([epoch_items(one, epoch) for epoch in range(one.config.epochs)])


def test_adding_shows_every_image_once_per_epoch_in_another_order():
    one = schedule()
    assert sorted(epoch_items(one, 0)) == sorted(epoch_items(one, 1)) == list(range(11))
    assert epoch_items(one, 0).tolist() != epoch_items(one, 1).tolist()


def test_a_step_does_not_depend_on_the_steps_before_it():
    later = schedule(pixel="cutmix", pixel_probability=1.0)
    early = schedule(pixel="cutmix", pixel_probability=1.0)
    for step in range(5):
        early.batch(step)
    for step in (7, 3):
        one, other = later.batch(step), early.batch(step)
        assert one.slots.items.tolist() == other.slots.items.tolist()
        assert one.partners.items.tolist() == other.partners.items.tolist()
        assert one.mix == other.mix


def test_a_last_batch_of_one_image_joins_the_one_before():
    assert [len(schedule(LABELS[:9]).batch(step).slots.items) for step in range(2)] == [4, 5]
    assert [len(schedule(LABELS[:10]).batch(step).slots.items) for step in range(3)] == [4, 4, 2]


def test_replacing_takes_synthetic_images_of_the_same_class():
    one = schedule(use="replace", replace_probability=1.0)
    hard = LABELS.argmax(axis=1)
    for epoch in range(40):
        items = epoch_items(one, epoch)
        assert len(items) == 7
        assert sorted(hard[items]) == [0, 0, 0, 0, 1, 1, 2]
    assert set(all_items(one)) == {6, 7, 8, 9, 10}


def test_a_class_without_synthetic_images_keeps_the_real_image_and_its_own_label():
    one = schedule(use="replace", replace_probability=1.0)
    for epoch in range(40):
        items = epoch_items(one, epoch)
        kept = items[items < len(REAL)]
        assert kept.tolist() == [6]
        assert LABELS[kept].tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("by", ["any", "rare"])
def test_replacing_freely_never_gives_a_class_a_wrong_label(by):
    one = schedule(use="replace", replace_by=by, replace_probability=1.0)
    items = all_items(one)
    if by == "any":
        assert set(items) == {7, 8, 9, 10}
    else:  # the rare class has no synthetic image, so where it is drawn the real image stays
        assert {7, 8, 9, 10} < set(items)


def test_rare_classes_are_drawn_more_often():
    labels = np.concatenate([REAL, ONE_HOT])
    one = schedule(labels, use="replace", replace_by="rare", replace_probability=1.0, epochs=300)
    drawn = all_items(one)
    shares = np.bincount(drawn, minlength=10)[7:] / len(drawn)
    # 1/5, 1/3 and 1/2, so that they sum to one
    assert shares == pytest.approx(np.array([6, 10, 15]) / 31, abs=0.03)


def test_the_probability_says_how_often_an_image_is_replaced():
    one = schedule(use="replace", replace_by="any", replace_probability=0.3, epochs=300)
    assert (all_items(one) >= 7).mean() == pytest.approx(0.3, abs=0.03)


def test_without_synthetic_images_replacing_is_plain_training():
    one = schedule(REAL, use="replace", replace_probability=1.0)
    assert sorted(epoch_items(one, 0)) == list(range(7))


def test_partners_of_cutmix_and_mixup_are_the_batch_itself():
    one = schedule(pixel="cutmix", pixel_probability=1.0)
    for step in range(6):
        plan = one.batch(step)
        assert sorted(plan.partners.items) == sorted(plan.slots.items)
        # an image that stands in a batch as its own partner is the same picture, crop and all
        for item, draws in zip(plan.partners.items, plan.partners.draws, strict=True):
            row = plan.slots.items.tolist().index(item)
            assert plan.slots.draws[row].tolist() == draws.tolist()


@pytest.mark.parametrize(("which", "mixed"), [("real", range(7)), ("synthetic", range(7, 11))])
@pytest.mark.parametrize("kind", ["cutmix", "mixup", "cmo"])
def test_only_the_images_that_are_asked_for_are_mixed(kind, which, mixed):
    one = schedule(pixel=kind, pixel_on=which, pixel_probability=1.0, cmo_margin=0)
    changed = 0
    for step in range(30):
        plan = one.batch(step)
        for own, partner in zip(plan.slots.items, plan.partners.items, strict=True):
            if own not in mixed:
                assert partner == own
            else:
                assert partner in mixed
                changed += own != partner
    assert changed > 10


def test_cmo_takes_every_class_equally_often_and_leaves_the_first_and_last_epochs_alone():
    one = schedule(REAL, pixel="cmo", pixel_probability=1.0, epochs=306)
    plans = [(step // one.steps_per_epoch, one.batch(step)) for step in range(one.steps)]
    assert {epoch for epoch, plan in plans if plan.mix is not None} == set(range(3, 303))
    drawn = np.concatenate([REAL[plan.partners.items].argmax(axis=1) for _, plan in plans if plan.partners])
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.04)


def test_half_of_the_batches_are_mixed():
    one = schedule(pixel="mixup", epochs=200)
    share = np.mean([one.batch(step).mix is not None for step in range(one.steps)])
    assert share == pytest.approx(0.5, abs=0.07)
