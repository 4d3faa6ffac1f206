"""Signals that wait for the end of an update."""

import signal
import threading

import pytest

from ncm_lib.training.concepts_signals import uninterrupted


def test_ctrl_c_comes_when_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_inside(done)
    assert done == ["first half", "second half"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interrupted_inside(done):
    with uninterrupted():
        done.append("first half")
        signal.raise_signal(signal.SIGINT)
        done.append("second half")
    done.append("never")


def test_sigterm_reaches_the_handler_of_before():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("told"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            assert seen == []
        assert seen == ["told"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_signal_and_in_another_thread_nothing_happens():
    with uninterrupted():
        pass
    done = []

    def work():
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
