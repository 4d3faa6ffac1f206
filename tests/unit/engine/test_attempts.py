"""Batches of a run: of one kind, full ones first, and what is tried again before the rest."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncm_lib import ClassList, SDRandom
from ncm_lib.engine.attempts import Attempt, WorkList
from ncm_lib.plan.sample import NoisedImage

SAMPLE = SDRandom(classes=ClassList.of("ab")).plan_one(0)


def attempt(index, kind=1):
    start = NoisedImage(source="a", strength=kind / 10)
    return Attempt(planned=dataclasses.replace(SAMPLE, index=index, start=start))


def work(shape):
    return WorkList(shape, kind=lambda sample: sample.start.strength)


def taken(worklist, fresh):
    """All batches, as (index, ...) each."""
    batches = []
    while batch := worklist.take(fresh):
        batches.append(tuple(attempt.planned.index for attempt in batch))
    return batches


@given(kinds=st.lists(st.integers(1, 4), max_size=60), shape=st.integers(1, 7))
def test_every_sample_comes_once_in_order_among_its_kind_and_at_most_one_batch_of_a_kind_is_short(kinds, shape):
    batches = taken(work(shape), iter([attempt(index, kind) for index, kind in enumerate(kinds)]))
    assert sorted(index for batch in batches for index in batch) == list(range(len(kinds)))
    assert all(len({kinds[index] for index in batch}) == 1 for batch in batches)
    for kind in set(kinds):
        of_kind = [batch for batch in batches if kinds[batch[0]] == kind]
        assert [index for batch in of_kind for index in batch] == [i for i, own in enumerate(kinds) if own == kind]
        assert all(len(batch) == shape for batch in of_kind[:-1])


def test_a_full_batch_is_not_kept_waiting_for_another_kind():
    kinds = [1, 2, 1, 2, 3, 1, 2]
    fresh = iter([attempt(index, kind) for index, kind in enumerate(kinds)])
    assert taken(work(2), fresh) == [(0, 2), (1, 3), (5,), (6,), (4,)]


def test_what_is_tried_again_goes_first_and_is_filled_up():
    worklist, fresh = work(3), iter([attempt(index) for index in range(3, 10)])
    worklist.put_back([attempt(0), attempt(1)])
    assert [attempt.planned.index for attempt in worklist.take(fresh)] == [0, 1, 3]


@pytest.mark.parametrize("shape", [8, 3])
def test_a_batch_that_did_not_fit_comes_again_in_halves(shape):
    worklist = work(shape)
    fresh = iter([attempt(index) for index in range(shape)])
    assert worklist.halve(worklist.take(fresh))
    halves = taken(worklist, fresh)
    assert [index for batch in halves for index in batch] == list(range(shape))
    assert len(halves[0]) == shape // 2
    assert worklist.changes == [{"from_index": 0, "batch_shape": shape // 2}]


def test_a_single_sample_cannot_be_halved():
    assert not work(1).halve([attempt(0)])
