import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from ncm_lib import ClassList
from ncm_lib.methods.diff_ii import DiffII, _row_of_triangle
from ncm_lib.plan.pool import PoolListing
from ncm_lib.plan.sample import CirclePoint, FullMask, Noise

COUNTS = (5, 1, 3, 0)
CLASSES = ClassList.of(["wren", "robin", "tit", "owl"], meta_class="bird")
LISTING = PoolListing(images=tuple(tuple(f"{c}{i}" for i in range(n)) for c, n in enumerate(COUNTS)))


def method(**fields):
    return DiffII(**({"classes": CLASSES, "pool": LISTING, "expansion": 4, "seed": 3} | fields))


def samples(count=36, **fields):
    return list(method(**fields).plan(0, count))


def test_an_epoch_has_expansion_images_per_real_one_of_each_class():
    for epoch in range(3):
        ids = [sample.label[0].class_id for sample in method().plan(36 * epoch, 36 * epoch + 36)]
        assert np.bincount(ids, minlength=4).tolist() == [20, 4, 12, 0]


def test_both_images_are_of_the_samples_own_class_and_differ():
    for sample in samples():
        (share,) = sample.label
        assert share.weight == 1
        if isinstance(sample.start, CirclePoint):
            assert sample.start.source_a != sample.start.source_b
            assert {sample.start.source_a[0], sample.start.source_b[0]} == {str(share.class_id)}


@pytest.mark.parametrize("seed", range(5))
def test_every_unordered_pair_comes_once_before_any_repeats_in_the_order_of_the_indices(seed):
    for class_id in (0, 2):
        pairs = [
            frozenset((sample.start.source_a, sample.start.source_b))
            for sample in samples(360, seed=seed)
            if sample.label[0].class_id == class_id
        ]
        every = {frozenset(pair) for pair in itertools.combinations(LISTING.images[class_id], 2)}
        for first in range(0, len(pairs) - len(every) + 1, len(every)):
            assert set(pairs[first : first + len(every)]) == every


def test_both_orders_of_a_pair_occur():
    orders = {(s.start.source_a, s.start.source_b) for s in method().plan(0, 3600) if isinstance(s.start, CirclePoint)}
    assert {(b, a) for a, b in orders} == orders


def test_a_class_with_one_image_starts_from_noise():
    starts = {sample.label[0].class_id: sample.start for sample in samples()}
    assert starts[1] == Noise()
    assert isinstance(starts[0], CirclePoint)


def test_one_condition_owns_the_whole_image():
    for sample in samples():
        assert sample.mask == FullMask()
        assert len(sample.conditions) == 1


@pytest.mark.parametrize("fields", [{}, {"suffixes": ("in snow", "at night")}, {"arc": "interpolation"}])
def test_a_row_is_the_same_whatever_the_range_around_it(fields):
    whole = samples(200, **fields)
    assert list(method(**fields).plan(57, 141)) == whole[57:141]
    assert method(**fields).plan_one(93) == whole[93]


def test_positions_on_the_arc_are_uniform():
    u = np.array([sample.start.u for sample in samples(3600) if isinstance(sample.start, CirclePoint)])
    assert np.abs(np.quantile(u, np.linspace(0, 1, 11)) - np.linspace(0, 1, 11)).max() < 0.03


def test_without_suffixes_there_is_one_stage():
    assert {sample.conditions[0].early_prompt for sample in samples()} == {None}


def test_a_suffix_stands_behind_the_prompt_of_the_samples_class():
    seen = set()
    for sample in samples(360, suffixes=("in snow", "at night"), suffix_fraction=0.1):
        (condition,) = sample.conditions
        assert condition.early_fraction == 0.1
        assert condition.early_prompt.startswith(condition.prompt + " ")
        seen.add(condition.early_prompt.removeprefix(condition.prompt + " "))
    assert seen == {"in snow", "at night"}


def test_plan_hash_tells_every_planning_field_apart():
    other = PoolListing(images=(*LISTING.images[:3], ("x",)))
    variants = [
        {}, {"pool": other}, {"expansion": 5}, {"arc": "extrapolation"}, {"match_norm": True}, {"suffixes": ("a",)},
        {"suffixes": ("a", "b")}, {"suffix_fraction": 0.5}, {"prompt": "{class}"}, {"seed": 4},
    ]  # fmt: skip
    assert len({method(**variant).plan_hash() for variant in variants}) == len(variants)


def test_the_config_names_the_pool_by_its_digest():
    config = method().config()
    assert config["pool"] == LISTING.digest()
    assert config["pool_counts"] == [5, 1, 3, 0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"pool": PoolListing(images=(("a",),))}, "images of 1 classes and the class list has 4"),
        ({"pool": PoolListing(images=((), (), (), ()))}, "holds no image"),
        ({"suffixes": ("in snow", " ")}, "A suffix is empty"),
        ({"suffix_fraction": 1.1}, "less than or equal to 1"),
        ({"expansion": 0}, "greater than or equal to 1"),
        ({"arc": "line"}, "arc"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        method(**fields)


@pytest.mark.parametrize("images", [(("b", "a"),), (("a", "a"),), (("a",), ("a",))])
def test_a_listing_with_an_image_twice_or_out_of_order_is_refused(images):
    with pytest.raises(ValueError, match=r"sorted and distinct|in the pool for class"):
        PoolListing(images=images)


def test_triangle_rows_are_exact_for_large_numbers():
    rows = np.array([1, 2, 3, 1000, 10**8, 2**31], dtype=np.int64)
    for first in rows * (rows - 1) // 2, rows * (rows + 1) // 2 - 1:
        assert np.array_equal(_row_of_triangle(first), rows)
