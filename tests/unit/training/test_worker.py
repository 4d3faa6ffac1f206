"""A process that does one task after another."""

import os

import pytest

from ncm_lib.training.worker import Worker, WorkerDiedError


@pytest.fixture
def start():
    workers = []

    def begin(work):
        workers.append(Worker(work))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.stop()


def test_a_worker_does_task_after_task_in_one_process(start, tmp_path):
    worker = start(os.mkdir)
    process = worker.process.pid
    for name in ("a", "b"):
        assert worker.give(tmp_path / name)
        assert worker.outcome() is None
        assert (tmp_path / name).is_dir()
    assert worker.process.pid == process != os.getpid()


def test_an_exception_is_told_and_the_next_task_is_done(start, tmp_path):
    worker = start(os.rmdir)
    (tmp_path / "full").mkdir()
    worker.give(tmp_path / "none")
    assert "FileNotFoundError" in worker.outcome()
    worker.give(tmp_path / "full")
    assert worker.outcome() is None


def test_the_death_of_a_worker_is_seen_at_once_and_holds_up_no_other(start, tmp_path):
    dying, other = start(os._exit), start(os.mkdir)
    dying.give(3)
    with pytest.raises(WorkerDiedError):
        dying.outcome()
    other.give(tmp_path / "made")
    assert other.outcome() is None


def test_a_worker_that_was_killed_while_it_had_nothing_to_do_takes_no_task_or_dies_of_it(start, tmp_path):
    worker = start(os.mkdir)
    worker.give(tmp_path / "a")
    assert worker.outcome() is None
    worker.process.kill()
    worker.process.join()
    assert not worker.give(tmp_path / "b")
    with pytest.raises(WorkerDiedError):
        worker.outcome()
    assert not (tmp_path / "b").exists()


def test_stopping_ends_the_process_whatever_it_does(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    worker = Worker(os.open)
    worker.give(fifo, os.O_RDONLY)  # waits for a writer that never comes
    process = worker.process.pid or 0
    worker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
