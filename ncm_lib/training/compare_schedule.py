"""Doing the tasks of a comparison in order, several at a time, whatever some of them come to."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..store.disk import replace_bytes
from .compare_tasks import Graph
from .compare_work import DONE, FAILED, do_task, task_folder

_DIED = "its process died: killed, out of memory, or crashed in a library"


@dataclass(kw_only=True)
class TaskRunner:
    """Runs what is not done; results stay on the disk, so a run that was cut short goes on where it stopped."""

    graph: Graph
    root: Path
    threads: int
    device: str
    jobs: int
    on_task: Callable[[str, str], None]
    """Called with a task's name and what became of it: done, cached or failed."""
    failures: dict[str, str] = field(default_factory=dict, init=False)
    """Key and message of every task that failed, or whose need did."""

    def run(self, keys: Sequence[str]) -> None:
        """Do the tasks ``keys``, which come after their needs."""
        left: list[str] = []
        for key in keys:
            if self._is_done(key):
                self.on_task(self.graph.tasks[key].name, "cached")
            else:
                left.append(key)
        if self.jobs == 1:
            self._alone(left)
        else:
            self._together(left)

    def _is_done(self, key: str) -> bool:
        path = task_folder(self.root, self.graph.tasks[key].name) / DONE
        return path.is_file() and json.loads(path.read_bytes())["key"] == key

    def _arguments(self, key: str) -> tuple[Any, ...]:
        task = self.graph.tasks[key]
        needs = tuple(self.graph.tasks[need].name for need in task.needs)
        return task, self.root, needs, self.threads, self.device

    def _lost(self, key: str) -> bool:
        """Whether a task cannot be done because one that it needs has failed."""
        need = next((need for need in self.graph.tasks[key].needs if need in self.failures), None)
        if need is not None:
            self.failures[key] = self.failures[need]
            self.on_task(self.graph.tasks[key].name, "failed")
        return need is not None

    def _alone(self, keys: Sequence[str]) -> None:
        for key in keys:
            if not self._lost(key):
                try:
                    do_task(*self._arguments(key))
                except Exception as error:  # whatever a cell comes to, the others are still wanted
                    self._failed(key, error)
                else:
                    self.on_task(self.graph.tasks[key].name, "done")

    def _together(self, keys: Sequence[str]) -> None:
        waiting, suspects = list(keys), list[str]()
        while waiting:
            waiting, died = self._round(waiting, self.jobs)
            suspects += died
        for key in suspects:  # which one of them took the pool down is seen when each runs by itself
            if self._round([key], 1)[1]:
                self._failed(key, InputError(_DIED))
        late = [key for key in keys if key not in self.failures and not self._is_done(key)]
        if suspects and late:  # what waited for a suspect
            self._together(late)

    def _round(self, keys: list[str], jobs: int) -> tuple[list[str], list[str]]:
        """Run tasks in a pool until all are done or it breaks.

        Returns:
            What is left, and what was running when it broke.
        """
        waiting, running = list(keys), dict[Future[None], str]()
        others = set(multiprocessing.active_children())
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                while waiting or running:
                    self._submit(pool, waiting, running, jobs)
                    if not running and not any(map(self._ready, waiting)):
                        break  # what is left waits for a suspect
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._take(future, running)
            except BrokenProcessPool:
                # a worker that was killed may hold the lock that the others wait for, and the pool waits for them
                for process in set(multiprocessing.active_children()) - others:
                    process.kill()
                broken = list(running.values())
                return [key for key in waiting if key not in broken], broken
            except BaseException:
                # interrupted: every task can go on where it is
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                raise
        return [], []

    def _submit(
        self, pool: ProcessPoolExecutor, waiting: list[str], running: dict[Future[None], str], jobs: int
    ) -> None:
        """Give the pool what can be done now."""
        for key in [key for key in waiting if self._ready(key)]:
            if len(running) == jobs:
                return
            if not self._lost(key):
                running[pool.submit(do_task, *self._arguments(key))] = key
            waiting.remove(key)

    def _take(self, future: Future[None], running: dict[Future[None], str]) -> None:
        """What a task came to; BrokenProcessPool where that cannot be known."""
        key, error = running[future], future.exception()
        if isinstance(error, BrokenProcessPool):
            raise error
        del running[future]
        if error is not None:
            self._failed(key, error)
        else:
            self.on_task(self.graph.tasks[key].name, "done")

    def _ready(self, key: str) -> bool:
        """Whether all that a task needs has come to something."""
        return all(need in self.failures or self._is_done(need) for need in self.graph.tasks[key].needs)

    def _failed(self, key: str, error: BaseException) -> None:
        task = self.graph.tasks[key]
        text = f"{task.kind}: {type(error).__name__}: {str(error).strip() or 'no message'}"
        self.failures[key] = text
        folder = task_folder(self.root, task.name)
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(folder / FAILED, f"{json.dumps({'key': key, 'error': text})}\n".encode("ascii"))
        self.on_task(task.name, "failed")
