"""Streams: pure in (seed, purpose, index), unrelated to one another, and the same for ever."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from ncm_lib.errors import InputError
from ncm_lib.maths.rng import keyed_permutation, normals, row_seeds, sample_noise, sample_seeds, uniforms


@pytest.mark.parametrize("per_sample", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("start", [0, 1, 7, 10**12])
def test_a_row_does_not_depend_on_the_range_around_it(start, per_sample):
    table = uniforms(5, "some", start, start + 20, per_sample)
    assert table.shape == (20, per_sample)
    for row in (0, 1, 13, 19):
        np.testing.assert_array_equal(uniforms(5, "some", start + row, start + row + 1, per_sample)[0], table[row])
    np.testing.assert_array_equal(uniforms(5, "some", start + 4, start + 9, per_sample), table[4:9])


def test_uniform_numbers_are_uniform_on_the_half_open_unit_interval():
    values = uniforms(0, "some", 0, 100_000, 3)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    chi_square = ((counts - 15_000) ** 2 / 15_000).sum()
    assert 3 < chi_square < 50  # 19 degrees of freedom


STREAMS = {
    "this": uniforms(0, "some", 0, 20_000, 3),
    "the next seed": uniforms(1, "some", 0, 20_000, 3),
    "a far seed": uniforms(2**62, "some", 0, 20_000, 3),
    "another purpose": uniforms(0, "some.", 0, 20_000, 3),
    "the next samples": uniforms(0, "some", 20_000, 40_000, 3),
    "wider samples": uniforms(0, "some", 0, 20_000, 5)[:, :3],
}


@pytest.mark.parametrize("other", [name for name in STREAMS if name != "this"])
def test_streams_share_nothing_with(other):
    first, second = STREAMS["this"], STREAMS[other]
    assert not np.intersect1d(first, second).size
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / math.sqrt(first.size)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_numbers_of_one_sample_and_of_its_neighbour_are_unrelated(pair):
    first, second = STREAMS["this"][:, pair[0]], STREAMS["this"][:, pair[1]]
    bound = 4 / math.sqrt(len(first))
    assert abs(np.corrcoef(first, second)[0, 1]) < bound
    assert abs(np.corrcoef(first[1:], second[:-1])[0, 1]) < bound
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < bound


def test_streams_are_the_same_for_ever():
    """A data set on disk is continued by these numbers: whoever changes them breaks every unfinished run."""
    np.testing.assert_array_equal(
        uniforms(0, "cutmix", 0, 2, 3),
        [
            [0.3173733010582429, 0.668650382940595, 0.5735154720764499],
            [0.3187217713889279, 0.21253081467736534, 0.05492055385384409],
        ],
    )
    np.testing.assert_array_equal(sample_seeds(7, 3, 6), [2286329151554670, 7542897172927528, 2494715437816777])
    np.testing.assert_allclose(sample_noise(11, (4,)), [1.7543619, -0.97203386, -0.29707989, -1.4373649], rtol=1e-6)
    order = keyed_permutation(np.arange(10), 10, 3, "order", np.full(10, 2))
    np.testing.assert_array_equal(order, [7, 2, 0, 8, 5, 1, 6, 9, 3, 4])


def test_sample_seeds_are_distinct_and_exact_in_double_precision():
    seeds = sample_seeds(0, 0, 100_000)
    assert seeds.dtype == np.int64
    assert seeds.min() >= 0
    assert 2**52 < seeds.max() < 2**53
    assert len(np.unique(seeds)) == len(seeds)
    np.testing.assert_array_equal(seeds[10:20], sample_seeds(0, 10, 20))


def test_noise_is_standard_normal():
    noise = sample_noise(3, (4, 128, 128))
    assert noise.dtype == torch.float32
    assert noise.shape == (4, 128, 128)
    assert abs(noise.mean()) < 4 / 256
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.2
    assert torch.equal(noise, sample_noise(3, (4, 128, 128)))


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 52])
def test_noise_depends_on_every_bit_of_the_seed(bit):
    # torch's own CPU generator drops all but the lower 32
    first, second = sample_noise(5, (1000,)), sample_noise(5 ^ (1 << bit), (1000,))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(1000)


def test_noise_does_not_touch_the_global_generators():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    sample_noise(3, (4, 4))
    assert torch.equal(state, torch.get_rng_state())


def test_noise_of_one_purpose_is_not_that_of_another():
    assert abs(np.corrcoef(normals(0, "a", 10_000), normals(0, "b", 10_000))[0, 1]) < 4 / 100


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70])
@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: uniforms(seed, "some", 0, 1, 1),
        lambda seed: sample_seeds(seed, 0, 1),
        lambda seed: sample_noise(seed, (2,)),
        lambda seed: row_seeds([0, seed], 2),
        lambda seed: keyed_permutation(np.arange(2), 2, seed, "some", np.zeros(2, dtype=np.int64)),
    ],
)
def test_a_seed_off_the_range_is_refused_with_the_range(draw, seed):
    with pytest.raises(InputError, match=rf"The seed is {seed}; take an integer from 0 to 2\*\*63 - 1"):
        draw(seed)


def test_the_largest_seed_and_index_work():
    assert uniforms(2**63 - 1, "some", 2**63 - 2, 2**63, 9).shape == (2, 9)


@pytest.mark.parametrize(("start", "stop", "per_sample"), [(-1, 1, 1), (2, 1, 1), (0, 2**63 + 1, 1), (0, 1, 0)])
def test_a_range_that_is_none_is_refused(start, stop, per_sample):
    with pytest.raises(InputError, match=r"0 <= start <= stop|at least 1 number"):
        uniforms(0, "some", start, stop, per_sample)


def test_as_many_row_seeds_as_rows_are_needed():
    with pytest.raises(InputError, match=r"3 seeds came for 2 rows; give one seed per row"):
        row_seeds([1, 2, 3], 2)


def test_row_seeds_of_a_larger_batch_begin_with_those_of_a_smaller_one():
    assert row_seeds(4, 9)[:5] == row_seeds(4, 5)
    assert row_seeds(sample_seeds(4, 0, 2), 2) == sample_seeds(4, 0, 2).tolist()


def permuted(size, epochs, seed=0, purpose="order"):
    position = np.tile(np.arange(size), epochs)
    epoch = np.repeat(np.arange(epochs), size)
    return keyed_permutation(position, size, seed, purpose, epoch).reshape(epochs, size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 10, 99, 200, 4950])
def test_every_epoch_visits_everything_once(size):
    orders = permuted(size, 3)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(size), (3, 1)))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_are_equally_likely(size):
    epochs, orders = 200 * math.factorial(size), math.factorial(size)
    counts = Counter(map(tuple, permuted(size, epochs).tolist()))
    chi_square = sum((counts[order] - 200) ** 2 / 200 for order in counts) + 200 * (orders - len(counts))
    assert abs(chi_square - (orders - 1)) < 4 * math.sqrt(2 * (orders - 1))


def test_epochs_seeds_and_purposes_permute_differently():
    size = 1000
    orders = [*permuted(size, 3), permuted(size, 1, seed=1)[0], permuted(size, 1, purpose="other")[0], np.arange(size)]
    for first in range(len(orders)):
        for second in range(first):
            # two random orders agree in 1 place on average
            assert (orders[first] == orders[second]).sum() < 8


def test_an_entry_does_not_depend_on_which_others_are_asked_for():
    whole = permuted(1000, 2)
    some = keyed_permutation(np.array([7, 991, 7]), 1000, 0, "order", np.array([1, 0, 0]))
    assert some.tolist() == [whole[1, 7], whole[0, 991], whole[0, 7]]


def test_all_pairs_of_a_large_set_can_be_permuted():
    size = 2**62
    values = keyed_permutation(np.arange(1000) + size - 1000, size, 0, "pairs", np.zeros(1000, dtype=np.int64))
    assert len(np.unique(values)) == 1000
    assert values.min() >= 0
    assert 0.4 < values.mean() / size < 0.6


@pytest.mark.parametrize(
    ("position", "size", "epoch", "message"),
    [
        ([0], 0, [0], "size is 0; it must be from 1"),
        ([0], 2**62 + 1, [0], "it must be from 1 to"),
        ([0, 5], 5, [0, 0], "Positions 0..5 came; they must be from 0 to 4"),
        ([-1], 5, [0], "must be from 0 to 4"),
        ([1], 5, [-1], "one epoch of at least 0"),
    ],
)
def test_a_position_that_the_permutation_does_not_have_is_refused(position, size, epoch, message):
    with pytest.raises(InputError, match=message):
        keyed_permutation(np.array(position), size, 0, "order", np.array(epoch))
