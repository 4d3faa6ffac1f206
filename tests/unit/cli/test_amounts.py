import pytest

from ncm_lib.cli.amounts import duration, si


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0123, "0.012 s"), (9.96, "10 s"), (59.4, "59 s"), (59.7, "1 min 0 s"), (3599.9, "1 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_durations_are_told_in_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"), (99.7, "100 B"), (999, "999 B"), (1000, "1 kB"), (123_456, "123 kB"), (3e15, "3 PB"),
        (62_760_000_000_000, "62.8 TB"),
    ],
)  # fmt: skip
def test_large_numbers_are_told_in_three_digits(value, text):
    assert si(value, "B") == text
