"""Progress bars: what is finished counts, the rate is per second, and the time left knows unfinished work."""

from __future__ import annotations

import io

import pytest

from ncm_lib.cli.bars import Bar
from ncm_lib.cli.counter import counter
from ncm_lib.cli.progress import ProgressBar
from ncm_lib.engine.generate import Progress


def facts_at(bar: Bar, seconds: float) -> dict:
    bar.start_t = bar._time() - seconds
    return bar.format_dict


@pytest.mark.parametrize(
    ("n", "seconds", "speed"), [(5, 2.0, "2.5 images/s"), (1, 40.0, "0.025 images/s"), (0, 3.0, "? images/s")]
)
def test_the_rate_is_images_per_second_also_where_it_is_slow(n, seconds, speed):
    with Bar(10, "images", file=io.StringIO()) as bar:
        bar.reach(n)
        assert facts_at(bar, seconds)["speed"] == speed


def test_images_of_earlier_runs_make_no_rate():
    with Bar(10, "images", initial=6, file=io.StringIO()) as bar:
        bar.reach(8)
        facts = facts_at(bar, 4.0)
    assert (facts["n"], facts["speed"], facts["left"]) == (8, "0.5 images/s", "00:04")


def test_only_written_images_count_and_the_time_left_knows_the_steps():
    written = io.StringIO()
    with Bar(10, "images", file=written) as bar:
        bar.reach(0, 0.25)
        facts = facts_at(bar, 10.0)
        assert (facts["n"], facts["speed"], facts["left"]) == (0, "? images/s", "00:30")
        bar.refresh()
    assert " 0/10 images ? images/s  ETA 00:30" in written.getvalue()
    assert "s/ images" not in written.getvalue()


def test_a_run_shows_written_images_alone(capsys):
    with ProgressBar() as show:
        for done, fraction in ((4, 0.1), (4, 0.45), (7, 0.5), (7, 0.9)):
            show(Progress(done=done, count=10, made=done - 4, seconds=1.0, fraction=fraction))
    text = capsys.readouterr().err
    assert "7/10 images" in text
    assert not [part for part in ("8/10", "9/10", "10/10") if part in text]


def test_an_interrupted_run_counts_in_the_right_form(capsys):
    show = ProgressBar()
    show(Progress(done=3, count=10, made=1, seconds=1.0, fraction=0.2))
    show.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "1 image made by this run, 3 of 10 are there\n" in capsys.readouterr().err


def test_a_counter_counts(capsys):
    with counter() as show:
        show(1, 3)
        show(3, 3)
    assert "3/3 images" in capsys.readouterr().err
