"""Doing the tasks of a comparison in order, several at a time, whatever some of them come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ..store.disk import replace_bytes
from .compare_tasks import Graph
from .compare_work import DONE, FAILED, do_task, task_folder
from .worker import Worker, WorkerDiedError, told

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
                    self._failed(key, told(error))
                else:
                    self.on_task(self.graph.tasks[key].name, "done")

    def _together(self, keys: Sequence[str]) -> None:
        suspects = self._round(list(keys), self.jobs)
        for key in suspects:  # it may have been a neighbour's memory: each runs once more, by itself
            if self._round([key], 1):
                self._failed(key, _DIED)
        late = [key for key in keys if key not in self.failures and not self._is_done(key)]
        if suspects and late:  # what waited for a suspect
            self._together(late)

    def _round(self, waiting: list[str], jobs: int) -> list[str]:
        """Run tasks in processes until nothing more can be done; returns those whose process died."""
        busy, idle, died = dict[Worker, str](), list[Worker](), list[str]()
        try:
            while True:
                self._hand_out(waiting, busy, idle, jobs)
                if not busy and not any(map(self._ready, waiting)):
                    return died  # what is left waits for one of them
                ready = wait([worker.connection for worker in busy])
                for worker in [worker for worker in busy if worker.connection in ready]:
                    key = busy.pop(worker)
                    try:
                        outcome = worker.outcome()
                    except WorkerDiedError:
                        worker.stop()
                        died.append(key)
                        continue
                    idle.append(worker)
                    if outcome is None:
                        self.on_task(self.graph.tasks[key].name, "done")
                    else:
                        self._failed(key, outcome)
        finally:  # where this is an interrupt, every task can go on where it is
            for worker in [*busy, *idle]:
                worker.stop()

    def _hand_out(self, waiting: list[str], busy: dict[Worker, str], idle: list[Worker], jobs: int) -> None:
        """Give what can be done now to processes; ``waiting`` keeps the rest."""
        for key in [key for key in waiting if self._ready(key)]:
            if len(busy) == jobs:
                return
            waiting.remove(key)
            if self._lost(key):
                continue
            worker = idle.pop() if idle else Worker(do_task)
            while not worker.give(*self._arguments(key)):
                worker.stop()
                worker = Worker(do_task)
            busy[worker] = key

    def _ready(self, key: str) -> bool:
        """Whether all that a task needs has come to something."""
        return all(need in self.failures or self._is_done(need) for need in self.graph.tasks[key].needs)

    def _failed(self, key: str, error: str) -> None:
        task = self.graph.tasks[key]
        text = f"{task.kind}: {error}"
        self.failures[key] = text
        folder = task_folder(self.root, task.name)
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(folder / FAILED, f"{json.dumps({'key': key, 'error': text})}\n".encode("ascii"))
        self.on_task(task.name, "failed")
