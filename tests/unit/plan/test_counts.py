import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncm_lib import ClassList, InputError
from ncm_lib.plan.counts import class_counts_in, synthetic_counts

BIRDS = ClassList.of(["robin", "wren", "owl"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("counts.json", '{"wren": 4, "owl": 0, "robin": 30}'),
        ("counts.csv", "wren,4\nowl,0\nrobin,30\n"),
        ("counts.csv", "class,count\r\nrobin,30\r\nowl,0\r\n\r\nwren , 4\r\n"),
        ("COUNTS.CSV", '\ufeff"robin",30\n"owl","0"\nwren,4'),
    ],
)
def test_counts_in_a_file_are_ordered_by_the_class_list(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert class_counts_in(tmp_path / name, BIRDS) == [30, 4, 0]


BAD = [
    ("no-such-place", None, "'no-such-place', which is not there; legal: an image folder"),
    ("counts.txt", "robin 3", "counts.txt', which is no such file; legal: an image folder"),
    ("counts.json", "[1, 2, 3]", "holds a list, not an object of counts"),
    ("counts.json", "{", "is not readable as JSON"),
    ("counts.json", '{"robin": 1, "robin": 2}', "'robin' stands twice"),
    ("counts.json", '{"robin": 1, "wren": 2}', "has no 'owl'. It needs each of the 3 classes once"),
    ("counts.json", '{"robin": 1, "wren": 2, "owl": 3, "kiwi": 4}', "has the unknown 'kiwi'"),
    ("counts.json", '{"robin": -1, "wren": 2, "owl": 3}', "has the count -1 for 'robin'; take a whole number"),
    ("counts.json", '{"robin": 1.5, "wren": 2, "owl": 3}', "has the count 1.5 for 'robin'"),
    ("counts.json", '{"robin": true, "wren": 2, "owl": 3}', "has the count True for 'robin'"),
    ("counts.csv", "robin,1\nrobin,1\nwren,2\nowl,3", "has twice 'robin'"),
    ("counts.csv", "robin;1\nwren;2", "Row 1 of"),
    ("counts.csv", "robin,1.5\nwren,2\nowl,3", "has the count '1.5' for 'robin'"),
    ("counts.csv", "robin," + "9" * 5000 + "\nwren,2\nowl,3", "for 'robin'; take a whole number"),
    ("counts.csv", '"robin,1', "is not readable as CSV"),
    ("counts.csv", b"\xff\xfe", "is no UTF-8 text"),
]


@pytest.mark.parametrize(("name", "content", "part"), BAD, ids=[part for _, _, part in BAD])
def test_bad_counts_are_refused_by_what_is_wrong_with_them(tmp_path, monkeypatch, name, content, part):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        class_counts_in(name, BIRDS)
    assert part in str(error.value)


reals = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


@given(real=reals.filter(any), multiplier=st.sampled_from([1, 2, 3.0, 10]))
def test_a_multiplier_makes_so_many_times_the_real_images(real, multiplier):
    assert synthetic_counts(real, multiplier=multiplier) == [multiplier * count for count in real]


def test_without_a_word_there_are_as_many_synthetic_images_as_real_ones():
    assert synthetic_counts([3, 0, 7]) == [3, 0, 7]


def test_fractions_are_rounded_and_halves_go_up():
    assert synthetic_counts([1, 2, 3, 4, 5], multiplier=0.5) == [1, 1, 2, 2, 3]


@given(real=reals.filter(lambda real: len(set(real)) > 1), multiplier=st.one_of(st.none(), st.floats(0, 5)))
def test_balanced_classes_are_equally_large_with_their_real_images(real, multiplier):
    made = synthetic_counts(real, multiplier=multiplier, balance=True)
    totals = {there + new for there, new in zip(real, made, strict=True)}
    assert len(totals) == 1
    assert totals.pop() >= max(real)


@given(real=reals, least=st.integers(1, 6000), multiplier=st.one_of(st.none(), st.floats(0.5, 3)))
def test_topped_up_classes_have_at_least_that_many_and_not_one_more_than_asked(real, least, multiplier):
    if multiplier is None and min(real) >= least:
        return
    made = synthetic_counts(real, top_up=least, multiplier=multiplier)
    assert all(there + new >= least for there, new in zip(real, made, strict=True))
    plain = [0] * len(real) if multiplier is None or not any(real) else synthetic_counts(real, multiplier=multiplier)
    assert all(new == wanted or there + new == least for there, new, wanted in zip(real, made, plain, strict=True))


@pytest.mark.parametrize(
    ("real", "fields", "part"),
    [
        ([5, 5], {"balance": True}, "the 2 classes have 5 real images each. Give a multiplier above 0"),
        ([5, 9], {"top_up": 5}, "Nothing is left to be made: the 2 classes have 5 to 9 real images"),
        ([0, 0], {}, "Nothing is left to be made"),
        ([3, 3], {"multiplier": 0}, "the 2 classes have 3 real images each. Give a multiplier above 0"),
        ([3], {"multiplier": -1}, "The multiplier is -1; take a number from 0"),
        ([3], {"multiplier": float("nan")}, "The multiplier is nan"),
        ([3], {"multiplier": float("inf")}, "The multiplier is inf"),
        ([3], {"top_up": 0}, "top_up is 0; take the least number of images of a class: 1 or more"),
    ],
)
def test_counts_that_cannot_be_meant_are_refused(real, fields, part):
    with pytest.raises(InputError) as error:
        synthetic_counts(real, **fields)
    assert part in str(error.value)
