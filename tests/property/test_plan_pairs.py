"""Class counts and pair policies under any input: what they promise is exact, and a row stands alone."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncm_lib import ClassList, InputError, NoiseCutMix
from ncm_lib.plan.pairs import balanced_partners, confusion_partners, leads
from ncm_lib.store.manifest import Manifest

seeds = st.integers(0, 2**63 - 1)
counts = st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(any)
weights = st.one_of(st.just(0.0), st.floats(0, 1e308), st.integers(0, 1000).map(float))


@st.composite
def configs(draw: st.DrawFn) -> dict:
    """Fields of NoiseCutMix with any counts and any policy; ``built`` makes the method of them."""
    size = draw(st.integers(2, 6))
    policy = draw(st.sampled_from(["uniform", "balanced", "confusion", "any"]))
    fields = {"seed": draw(seeds), "pair_policy": policy}
    class_counts = draw(st.one_of(st.none(), st.lists(st.integers(0, 5), min_size=size, max_size=size)))
    if class_counts is None or any(class_counts):
        fields["class_counts"] = class_counts
    else:
        fields["class_a"] = f"class {draw(st.integers(0, size - 1))}"
    if policy == "confusion":
        row = st.lists(weights, min_size=size, max_size=size)
        fields["confusion"] = draw(st.lists(row, min_size=size, max_size=size))
    return {"classes": [f"class {k}" for k in range(size)], **fields}


def built(config: dict) -> NoiseCutMix:
    """Outside of the strategy: the annotations are checked with random numbers, which hypothesis wants for itself."""
    return NoiseCutMix(**config | {"classes": ClassList.of(config["classes"])}, latent_height=6, latent_width=5)


def read_back(method: NoiseCutMix) -> NoiseCutMix:
    """The method that its config in ``dataset.json`` describes."""
    return NoiseCutMix(classes=method.classes, **json.loads(json.dumps(method.config())))


@given(counts=counts, seed=seeds, epoch=st.integers(0, 2**40))
def test_every_epoch_has_every_class_exactly_as_often_as_its_count_says(counts, seed, epoch):
    size = sum(counts)
    first = leads(epoch * size + np.arange(size), counts, seed)
    assert np.bincount(first.class_ids, minlength=len(counts)).tolist() == counts
    for class_id, count in enumerate(counts):
        occurrences = np.sort(first.occurrence[first.class_ids == class_id])
        assert occurrences.tolist() == list(range(epoch * count, (epoch + 1) * count))


def test_the_order_is_shuffled_anew_in_every_epoch():
    first = leads(np.arange(600), [1, 2, 3], 0).class_ids.reshape(100, 6)
    orders = {tuple(row) for row in first.tolist()}
    assert len(orders) > 40, "of 60 orders of 1, 2 and 3 alike ones"


@given(counts=counts, seed=seeds, epochs=st.integers(1, 12))
def test_balanced_pairs_differ_by_one_at_most_after_any_number_of_epochs(counts, seed, epochs):
    size = len(counts)
    first = leads(np.arange(epochs * sum(counts)), counts, seed)
    partners = balanced_partners(first, size, seed)
    pairs = np.bincount(first.class_ids * size + partners, minlength=size * size).reshape(size, size)
    for class_a, row in enumerate(pairs):
        others = np.delete(row, class_a)
        assert row[class_a] == 0
        assert others.sum() == epochs * counts[class_a]
        assert others.max() - others.min() <= 1


@given(size=st.integers(2, 9), seed=seeds, samples=st.integers(0, 300))
def test_without_counts_balanced_pairs_differ_by_one_at_most_after_any_number_of_samples(size, seed, samples):
    method = NoiseCutMix(classes=ClassList.of(map(str, range(size))), pair_policy="balanced", seed=seed)
    first, partners = method.plan(0, samples).class_ids.T.astype(np.int64)
    pairs = np.bincount(first * size + partners, minlength=size * size).reshape(size, size)
    for class_a, row in enumerate(pairs):
        others = np.delete(row, class_a)
        assert row[class_a] == 0
        assert others.max() - others.min() <= 1


def test_balanced_pairs_come_in_another_order_for_every_class_and_block():
    first = leads(np.arange(7 * 60), [1] * 7, 3)
    partners = balanced_partners(first, 7, 3)
    # the other classes as positions 0..5, so that orders of different classes can be compared
    places = partners - (partners > first.class_ids)
    orders = [tuple(places[first.class_ids == k][np.argsort(first.occurrence[first.class_ids == k])]) for k in range(7)]
    blocks = [order[start : start + 6] for order in orders for start in range(0, 60, 6)]
    assert len(set(blocks)) > 60, "of 70 blocks, each in one of 720 orders"


@given(data=st.data(), size=st.integers(2, 7))
def test_confusion_draws_only_what_the_row_has(data, size):
    row = st.lists(weights, min_size=size, max_size=size)
    matrix = data.draw(st.lists(row, min_size=size, max_size=size))
    uniform = np.array([0.0, 0.1, 0.5, 0.9, 1 - 2.0**-53])
    for class_a in range(size):
        partners = confusion_partners(np.full(5, class_a), uniform, matrix)
        others = [weight for other, weight in enumerate(matrix[class_a]) if other != class_a]
        assert (partners != class_a).all()
        assert (np.diff(partners) >= 0).all()
        assert not any(others) or all(matrix[class_a][partner] > 0 for partner in partners)


@given(size=st.integers(2, 7), class_a=st.integers(0, 6), diagonal=st.floats(0, 1e300))
def test_a_row_without_confusion_draws_all_other_classes_alike(size, class_a, diagonal):
    class_a %= size
    matrix = np.zeros((size, size))
    matrix[class_a, class_a] = diagonal
    # the middles of C - 1 equal parts
    uniform = (np.arange(size - 1) + 0.5) / (size - 1)
    partners = confusion_partners(np.full(size - 1, class_a), uniform, matrix.tolist())
    assert partners.tolist() == [other for other in range(size) if other != class_a]


def test_confusion_is_drawn_in_proportion():
    matrix = [[90.0, 6.0, 3.0, 1.0], [1.0, 0.0, 1.0, 2.0], [0.0, 0.0, 7.0, 0.5], [0.0, 0.0, 0.0, 4.0]]
    method = NoiseCutMix(classes=ClassList.of("abcd"), pair_policy="confusion", confusion=matrix, seed=5)
    first, partners = method.plan(0, 48_000).class_ids.T.astype(np.int64)
    drawn = np.bincount(first * 4 + partners, minlength=16).reshape(4, 4)
    expected = np.array([[0, 0.6, 0.3, 0.1], [0.25, 0, 0.25, 0.5], [0, 0, 0, 1], [1 / 3, 1 / 3, 1 / 3, 0]]) * 12_000
    assert (abs(drawn - expected) <= 5 * np.sqrt(expected)).all()
    assert (drawn[expected == 0] == 0).all()


def test_rows_of_a_confusion_matrix_need_no_common_scale():
    matrix = [[0.0, 0.75, 0.25], [0.5, 0.0, 0.5], [0.25, 0.75, 0.0]]
    counts = [[8 * value for value in row] for row in matrix]
    classes = ClassList.of("abc")
    rates, counted = (
        NoiseCutMix(classes=classes, pair_policy="confusion", confusion=values) for values in (matrix, counts)
    )
    assert np.array_equal(rates.plan(0, 500).class_ids, counted.plan(0, 500).class_ids)
    assert rates.plan_hash() != counted.plan_hash()


@settings(max_examples=60)
@given(config=configs(), start=st.integers(0, 2**40), rows=st.integers(0, 40), skip=st.integers(0, 40))
def test_a_row_is_the_same_whatever_the_range_around_it(config, start, rows, skip):
    method = built(config)
    whole, part = method.plan(start, start + rows + skip), method.plan(start + skip, start + skip + rows)
    for column in ("index", "seed", "prompt_ids", "class_ids", "weights"):
        assert np.array_equal(getattr(part, column), getattr(whole, column)[skip:]), column
    assert np.array_equal(part.boxes.box, whole.boxes.box[skip:])
    assert rows == 0 or method.plan_one(start + skip) == part[0]


@settings(max_examples=60)
@given(config=configs())
def test_class_b_is_class_a_only_where_the_policy_is_any(config):
    method = built(config)
    first, second = method.plan(0, 400).class_ids.T
    assert (first == second).any() == (method.pair_policy == "any")


@settings(max_examples=60)
@given(config=configs())
def test_a_config_reads_back_from_json_with_its_counts_and_matrix(config):
    method = built(config)
    again = read_back(method)
    assert again == method
    assert again.plan_hash() == method.plan_hash()
    assert again.plan_one(11) == method.plan_one(11)


def test_a_config_reads_back_from_the_head_of_a_data_set(tmp_path):
    method = NoiseCutMix(
        classes=ClassList.of("ab"), pair_policy="confusion", confusion=((1, 0.1), (2, 1e-300)), class_counts=(3, 0)
    )
    Manifest(
        classes=method.classes.names, method=method.name, config=method.config(), seed=0,
        plan_hash=method.plan_hash(), batch_shape=1, count=1,
    ).write(tmp_path)  # fmt: skip
    again = NoiseCutMix(classes=method.classes, **Manifest.read(tmp_path).config)
    assert again == method
    assert again.plan_hash() == method.plan_hash()


def test_another_count_policy_or_number_of_the_matrix_is_another_plan():
    base = {"classes": ClassList.of("abc")}
    matrix = [[0, 1, 2], [3, 0, 4], [5, 6, 0]]
    changed = [[[value + 1 if (r, c) == cell else value for c, value in enumerate(row)] for r, row in enumerate(matrix)]
               for cell in itertools.product(range(3), range(3))]  # fmt: skip
    variants = [
        {}, {"class_a": "a"}, {"class_counts": (1, 1, 1)}, {"class_counts": (1, 1, 2)}, {"class_counts": (1, 2, 1)},
        *({"pair_policy": policy} for policy in ("balanced", "any")),
        *({"pair_policy": "confusion", "confusion": values} for values in (matrix, *changed)),
    ]  # fmt: skip
    assert len({NoiseCutMix(**base, **variant).plan_hash() for variant in variants}) == len(variants)


def test_counts_of_one_plan_what_no_counts_plan():
    classes = ClassList.of("abcde")
    without, ones = NoiseCutMix(classes=classes), NoiseCutMix(classes=classes, class_counts=[1] * 5)
    assert list(without.plan(0, 99)) == list(ones.plan(0, 99))


BAD = [
    ({"class_counts": (1, 2)}, "2 class_counts came for 3 classes; give one per class"),
    ({"class_counts": (0, 0, 0)}, "class_counts is 0 for every class: nothing is to be made"),
    ({"class_counts": (1, 2, -1)}, "class_counts.2"),
    ({"class_counts": (1, 2, 1.5)}, "class_counts.2"),
    ({"class_counts": (1, 2, 1), "class_a": "b"}, "class_a is 'b' and class_counts came too"),
    ({"pair_policy": "confusion"}, "no confusion matrix came; give one, or take another policy: uniform"),
    ({"confusion": [[0] * 3] * 3}, "pair_policy 'uniform' does not read it; take pair_policy 'confusion'"),
    ({"confusion": [[0] * 3] * 2, "pair_policy": "confusion"}, "2 rows of 3 to 3 numbers, and there are 3 classes"),
    ({"confusion": [[0] * 3] * 2 + [[0]], "pair_policy": "confusion"}, "3 rows of 1 to 3 numbers"),
    ({"confusion": [], "pair_policy": "confusion"}, "0 rows of 0 to 0 numbers"),
    ({"confusion": [[0, 1, -2]] * 3, "pair_policy": "confusion"}, "confusion.0.2"),
    ({"confusion": [[0, 1, float("nan")]] * 3, "pair_policy": "confusion"}, "confusion.0.2"),
    ({"confusion": [[0, 1, float("inf")]] * 3, "pair_policy": "confusion"}, "confusion.0.2"),
    ({"pair_policy": "random"}, "pair_policy is 'random'"),
]


@pytest.mark.parametrize(("fields", "part"), BAD, ids=[part for _, part in BAD])
def test_bad_counts_and_matrices_are_refused_by_what_is_wrong(fields, part):
    with pytest.raises(InputError) as error:
        NoiseCutMix.checked(classes=ClassList.of("abc"), **fields)
    assert part in str(error.value)
