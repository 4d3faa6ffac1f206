"""Methods that start from a real image: within a class, and across classes."""

import collections

import numpy as np
import pytest
from pydantic import ValidationError

from ncm_lib import ClassList, DAFusion, DiffAug, DiffMix, RealGuidance, RealMix
from ncm_lib.plan.pool import PoolListing
from ncm_lib.plan.sample import FullMask, NoisedImage

COUNTS = (5, 1, 3, 2)
CLASSES = ClassList.of(["wren", "robin", "tit", "owl"], meta_class="bird")
LISTING = PoolListing(images=tuple(tuple(f"{c}{i}" for i in range(n)) for c, n in enumerate(COUNTS)))
WITHIN, ACROSS = (RealGuidance, DAFusion, DiffAug), (DiffMix, RealMix)


def method(kind, **fields):
    return kind(**({"classes": CLASSES, "images": LISTING, "seed": 3} | fields))


def of_class(sample):
    """The class that a sample's source is of."""
    assert isinstance(sample.start, NoisedImage)
    return int(sample.start.source[0])


def made(samples, place=0):
    return np.bincount([sample.label[place].class_id for sample in samples], minlength=4).tolist()


@pytest.mark.parametrize("kind", WITHIN)
def test_source_prompt_and_label_are_of_one_class(kind):
    for sample in method(kind).plan(0, 50):
        (share,), (condition,) = sample.label, sample.conditions
        assert (share.class_id, share.weight) == (of_class(sample), 1)
        assert condition.prompt == f"a photo of a {CLASSES.names[share.class_id]} bird"
        assert sample.mask == FullMask()


@pytest.mark.parametrize("kind", WITHIN)
def test_a_round_has_every_real_image_once(kind):
    every = sorted(content for images in LISTING.images for content in images)
    for epoch in range(4):
        samples = method(kind).plan(11 * epoch, 11 * epoch + 11)
        assert sorted(sample.start.source for sample in samples) == every


def test_counts_of_their_own_go_through_a_classs_images_before_any_comes_again():
    counted = method(RealGuidance, class_counts=(2, 4, 0, 1))
    samples = list(counted.plan(0, 7 * 10))
    assert made(samples) == [20, 40, 0, 10]
    # 20 samples of 5 images: each comes 4 times
    uses = [sample.start.source for sample in samples if of_class(sample) == 0]
    assert {use: uses.count(use) for use in uses} == dict.fromkeys(LISTING.images[0], 4)


@pytest.mark.parametrize("kind", ACROSS)
def test_the_source_is_of_another_class_than_the_prompt_and_comes_first_in_the_label(kind):
    for sample in method(kind).plan(0, 100):
        source, prompted = sample.label
        assert source.class_id == of_class(sample) != prompted.class_id
        assert sample.conditions[0].prompt == f"a photo of a {CLASSES.names[prompted.class_id]} bird"
        assert sample.mask == FullMask()


@pytest.mark.parametrize(("strength", "weights"), [(0.5, (0.42565082, 0.57434918)), (0.7, (0.24824135, 0.75175865))])
@pytest.mark.parametrize("kind", ACROSS)
def test_labels_are_diff_mixs_own_numbers(kind, strength, weights):
    for sample in method(kind, strengths=(strength,)).plan(0, 10):
        assert [share.weight for share in sample.label] == pytest.approx(weights, abs=5e-9)


def test_at_full_strength_the_label_is_the_prompts_class_alone():
    assert [share.weight for share in method(DiffMix, strengths=(1,)).plan_one(0).label] == [0, 1]


def test_each_label_goes_by_its_own_strength():
    for sample in method(DiffMix, gamma=0.5).plan(0, 100):
        assert sample.label[1].weight == pytest.approx(sample.start.strength**0.5)


def test_counts_share_the_prompts_classes_out():
    samples = list(method(DiffMix, class_counts=(3, 0, 1, 2)).plan(0, 60))
    assert made(samples, place=1) == [30, 0, 10, 20]


def test_the_other_class_is_drawn_by_the_policy():
    def pairs(**fields):
        table = method(DiffMix, **fields).plan(0, 1200)
        return collections.Counter(map(tuple, table.class_ids.tolist()))

    assert set(pairs(pair_policy="balanced").values()) == {100}
    assert len(pairs()) == 12
    matrix = tuple(tuple(float(b == (a + 1) % 4) for b in range(4)) for a in range(4))
    assert pairs(pair_policy="confusion", confusion=matrix) == {((b + 1) % 4, b): 300 for b in range(4)}


def test_all_images_of_a_class_serve_as_sources_alike():
    sources = [sample.start.source for sample in method(DiffMix).plan(0, 8000) if of_class(sample) == 0]
    shares = [sources.count(content) / len(sources) for content in LISTING.images[0]]
    assert shares == pytest.approx([0.2] * 5, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "strengths"),
    [(RealGuidance, {0.5}), (DAFusion, {0.25, 0.5, 0.75, 1.0}), (DiffAug, {0.5, 0.7, 0.9}), (DiffMix, {0.5, 0.7, 0.9}),
     (RealMix, {0.5, 0.7, 0.9})],
)  # fmt: skip
def test_every_strength_comes_about_equally_often(kind, strengths):
    drawn = [sample.start.strength for sample in method(kind).plan(0, 4000)]
    shares = {strength: drawn.count(strength) / 4000 for strength in drawn}
    assert shares == pytest.approx(dict.fromkeys(strengths, 1 / len(strengths)), abs=0.03)


def test_diff_mix_and_real_mix_plan_the_same_under_their_own_names():
    assert list(method(DiffMix).plan(0, 30)) == list(method(RealMix).plan(0, 30))
    assert method(DiffMix).plan_hash() != method(RealMix).plan_hash()


@pytest.mark.parametrize("kind", [*WITHIN, *ACROSS])
def test_plan_hash_tells_every_planning_field_apart(kind):
    other = PoolListing(images=(*LISTING.images[:3], ("x", "y")))
    variants = [
        {}, {"images": other}, {"strengths": (0.5, 0.6)}, {"prompt": "{class}"}, {"seed": 4},
        {"class_counts": (1, 2, 3, 4)}, *([{"gamma": 1.0}, {"pair_policy": "balanced"}] if kind in ACROSS else []),
    ]  # fmt: skip
    assert len({method(kind, **variant).plan_hash() for variant in variants}) == len(variants)


def test_the_config_names_the_images_by_their_digest_and_keeps_no_hash_of_each():
    config = method(DiffMix).config()
    assert (config["images"], config["image_counts"]) == (LISTING.digest(), [5, 1, 3, 2])


@pytest.mark.parametrize("strengths", [(), (0,), (0.5, -0.1), (1.01,), (float("nan"),), ("much",)])
@pytest.mark.parametrize("kind", [RealGuidance, DiffMix])
def test_a_strength_outside_of_0_to_1_is_refused(kind, strengths):
    with pytest.raises(ValidationError, match="strengths"):
        method(kind, strengths=strengths)


EMPTY = PoolListing(images=(*LISTING.images[:2], (), LISTING.images[3]))


def test_a_class_without_images_is_refused_by_name_unless_none_of_it_is_made():
    with pytest.raises(ValidationError, match=r"1 of 4 classes have no source image \('tit'\), and real-guidance"):
        method(RealGuidance, images=EMPTY)
    with pytest.raises(ValidationError, match="a count of 0"):
        method(RealGuidance, images=EMPTY, class_counts=(1, 1, 1, 1))
    assert made(method(RealGuidance, images=EMPTY, class_counts=(1, 1, 0, 1)).plan(0, 30)) == [10, 10, 0, 10]


def test_across_classes_every_class_needs_an_image():
    with pytest.raises(ValidationError, match=r"no source image \('tit'\), and diff-mix.*class list"):
        method(DiffMix, images=EMPTY, class_counts=(1, 1, 0, 1))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"images": PoolListing(images=(("a",),))}, "images of 1 classes and the class list has 4"),
        ({"classes": ClassList.of(["wren"]), "images": PoolListing(images=(("a",),))}, "diff-mix.*has 1; give at"),
        ({"gamma": 0}, "gamma"),
        ({"pair_policy": "any"}, "pair_policy"),
        ({"pair_policy": "confusion"}, "no confusion matrix came"),
        ({"confusion": ((1.0,),)}, "does not read it"),
        ({"pair_policy": "confusion", "confusion": ((1.0,),)}, "1 rows of 1 to 1 numbers"),
        ({"class_counts": (1,)}, "1 class_counts came for 4 classes"),
        ({"prompt": "{clas}"}, "unknown placeholders"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        method(DiffMix, **fields)
