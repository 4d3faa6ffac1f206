"""Plans of the baselines: whatever the classes, counts and strengths, rows stand alone and labels sum to one."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncm_lib import ClassList, DAFusion, DiffMix, RealGuidance, SDRandom
from ncm_lib.plan.pool import PoolListing
from ncm_lib.plan.sample import NoisedImage

COUNTS = st.lists(st.integers(1, 40), min_size=2, max_size=7)
STRENGTHS = st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=4).map(tuple)


def listing(counts):
    return PoolListing(images=tuple(tuple(f"{c}-{i:03d}" for i in range(n)) for c, n in enumerate(counts)))


@pytest.mark.parametrize("kind", [SDRandom, RealGuidance, DAFusion, DiffMix])
@given(counts=COUNTS, strengths=STRENGTHS, seed=st.integers(0, 2**63 - 1), start=st.integers(0, 10**9),
       rows=st.integers(1, 40), data=st.data())  # fmt: skip
@settings(max_examples=25)
def test_any_subset_of_a_plan_equals_the_whole(kind, counts, strengths, seed, start, rows, data):
    fields = {} if kind is SDRandom else {"images": listing(counts), "strengths": strengths}
    method = kind(classes=ClassList.of(map(str, range(len(counts)))), seed=seed, **fields)
    whole = list(method.plan(start, start + rows))
    low = data.draw(st.integers(0, rows))
    high = data.draw(st.integers(low, rows))
    assert list(method.plan(start + low, start + high)) == whole[low:high]
    for sample in whole:
        assert math.fsum(share.weight for share in sample.label) == pytest.approx(1, abs=1e-12)
        assert all(0 <= share.weight <= 1 for share in sample.label)
        if isinstance(sample.start, NoisedImage):
            assert sample.start.strength in strengths
            # the source is of the label's first class
            assert sample.start.source.startswith(f"{sample.label[0].class_id}-")
