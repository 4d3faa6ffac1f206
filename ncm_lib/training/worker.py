"""A process that does one task after another and tells of each what became of it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class WorkerDiedError(RuntimeError):
    """A worker's process ended in the middle of a task: killed, out of memory, or crashed in a library."""


class Worker:
    """A process of its own with a pipe of its own.

    Workers share no queue and no lock, so the death of one is seen at once and holds up no other. (A pool may wait for
    ever for a worker that was killed while it held the lock of the queue.)
    """

    def __init__(self, work: Callable[..., None]) -> None:
        """Start the process; ``work`` is a function of a module, which the process imports."""
        context = multiprocessing.get_context("spawn")
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs))
        self.process.start()
        theirs.close()  # or the end of the process would not be the end of the pipe

    def give(self, *arguments: object) -> bool:
        """Hand over the next task's arguments; False where the process is dead already."""
        try:
            self.connection.send(arguments)
        except OSError:
            return False
        return True

    def outcome(self) -> str | None:
        """Wait for the task to end.

        Returns:
            None where it went well, else the exception's type and message.

        Raises:
            WorkerDiedError: the process ended before the task did.
        """
        try:
            outcome: str | None = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError from error
        return outcome

    def stop(self) -> None:
        """End the process, whatever it is doing, and wait until it has ended."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.process.close()


def told(error: BaseException) -> str:
    """An exception as one line of text."""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"


def _serve(work: Callable[..., None], connection: Connection[Any, Any]) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; who gave the work ends it
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        try:
            work(*arguments)
        except Exception as error:  # whatever it is, the next task may still succeed
            connection.send(told(error))
        else:
            connection.send(None)
