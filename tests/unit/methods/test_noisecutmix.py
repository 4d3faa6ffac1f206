import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from ncm_lib import ClassList, InputError, NoiseCutMix

CLASSES = ClassList.of([f"class {k}" for k in range(7)], meta_class="bird")


def method(**fields):
    return NoiseCutMix(classes=fields.pop("classes", CLASSES), latent_height=16, latent_width=12, **fields)


def columns(table):
    return {field.name: getattr(table, field.name) for field in dataclasses.fields(table) if field.name != "boxes"}


@pytest.mark.parametrize(
    "fields", [{}, {"alpha": 0.3}, {"placement": "inside"}, {"grid": "pixel"}, {"class_a": "class 3"}]
)
def test_a_row_is_the_same_whatever_the_range_around_it(fields):
    whole = method(seed=3, **fields).plan(0, 60)
    part = method(seed=3, **fields).plan(17, 41)
    assert np.array_equal(part.boxes.box, whole.boxes.box[17:41])
    for name, column in columns(part).items():
        expected = columns(whole)[name]
        assert np.array_equal(column, expected[17:41] if isinstance(column, np.ndarray) else expected), name
    assert method(seed=3, **fields).plan_one(29) == whole[29]


def test_the_label_is_the_area_that_each_class_owns():
    table = method(seed=1).plan(0, 500)
    x0, y0, x1, y1 = table.boxes.box.T
    share_of_b = (x1 - x0) * (y1 - y0) / (16 * 12)
    assert np.allclose(table.weights[:, 1], share_of_b, atol=1e-12)
    assert np.allclose(table.weights.sum(axis=1), 1.0, atol=1e-12)


def test_the_box_belongs_to_class_a_where_the_config_says_so():
    table = method(seed=1, box_class="a").plan(0, 50)
    x0, y0, x1, y1 = table.boxes.box.T
    assert np.allclose(table.weights[:, 0], (x1 - x0) * (y1 - y0) / (16 * 12), atol=1e-12)
    assert table[0].mask.inside == 0


def test_every_class_leads_once_per_epoch_in_an_order_of_its_own():
    leaders = method(seed=2).plan(0, 7 * 40).class_ids[:, 0].reshape(40, 7)
    assert (np.sort(leaders, axis=1) == np.arange(7)).all()
    assert len({tuple(row) for row in leaders.tolist()}) > 30


def test_class_b_is_uniform_over_the_other_classes():
    table = method(seed=2).plan(0, 42_000)
    first, second = table.class_ids.T
    assert (first != second).all()
    counts = np.bincount(first * 7 + second, minlength=49)[[a * 7 + b for a in range(7) for b in range(7) if a != b]]
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_class_b_may_be_class_a_where_that_is_allowed():
    first, second = method(seed=2, pair_policy="any").plan(0, 7000).class_ids.T
    assert abs((first == second).mean() - 1 / 7) < 0.02


def test_a_requested_class_leads_every_sample():
    table = method(class_a="class 3").plan(0, 100)
    assert (table.class_ids[:, 0] == 3).all()
    assert set(table.class_ids[:, 1].tolist()) == set(range(7)) - {3}


def test_a_pixel_grid_draws_boxes_in_pixels():
    table = method(grid="pixel").plan(0, 200)
    assert (table.boxes.grid_height, table.boxes.grid_width) == (128, 96)
    assert table.boxes.box[:, 2].max() > 12


def test_seeds_are_distinct_and_fit_json():
    seeds = method().plan(0, 10_000).seed
    assert len(set(seeds.tolist())) == 10_000
    assert seeds.min() >= 0
    assert seeds.max() < 2**53


def test_samples_carry_prompts_classes_and_mask():
    sample = method(seed=5).plan_one(4)
    names = [CLASSES.names[share.class_id] for share in sample.label]
    assert [condition.prompt for condition in sample.conditions] == [f"a photo of a {name} bird" for name in names]
    assert (sample.mask.grid_height, sample.mask.grid_width, sample.mask.inside) == (16, 12, 1)


def test_plan_hash_tells_every_planning_field_apart():
    other_classes = ClassList.of([*CLASSES.names[:-1], "another"], meta_class="bird")
    variants = [
        {}, {"seed": 1}, {"alpha": 2.0}, {"placement": "inside"}, {"rounding": "exact"}, {"box_class": "a"},
        {"grid": "pixel"}, {"class_a": "class 1"}, {"pair_policy": "any"}, {"prompt": "{class}"},
        {"classes": other_classes}, {"latent_cell": 4},
    ]  # fmt: skip
    assert len({method(**variant).plan_hash() for variant in variants}) == len(variants)
    assert method().plan_hash() == method().plan_hash()


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf"), "many"])
def test_a_bad_alpha_is_refused(alpha):
    with pytest.raises(ValidationError, match="alpha"):
        method(alpha=alpha)


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="aplha"):
        method(aplha=1.0)


def test_one_class_alone_cannot_be_mixed():
    with pytest.raises((InputError, ValidationError), match="at least 2 classes"):
        method(classes=ClassList.of(["wren"]))


def test_an_unknown_requested_class_names_its_neighbours():
    with pytest.raises((InputError, ValidationError), match=r"no class 'class 9'.*near: class"):
        method(class_a="class 9")


def test_a_backward_range_is_refused():
    with pytest.raises(InputError, match=r"5\.\.3"):
        method().plan(5, 3)


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError):
        method().alpha = 2.0
