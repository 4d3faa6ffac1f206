"""A comparison as a graph of tasks, each known by what it depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..engine.load import model_fingerprint
from ..errors import InputError
from ..methods import Method
from ..metrics.classifier import classifier_fingerprint
from ..plan.plain_words import plain_words
from ..sources.listing import SourceListing
from ..sources.load import load_source
from .classifier_config import FREE
from .compare_filter import filter_identity, scorer_of
from .compare_plan import ALL, ComparePlan, Generator, Row, RowFilter, method_of

Kind = Literal["concepts", "invert", "generate", "classifier"]
_VERSION = "ncm-compare-1"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work; equal keys mean equal results, so it is done once, whoever needs it."""

    kind: Kind
    identity: dict[str, Any]
    """What its result depends on, by content."""
    settings: dict[str, Any]
    """What it takes to do it: paths and options."""
    needs: tuple[str, ...] = ()
    """Keys of the tasks that come first."""

    @property
    def key(self) -> str:
        """sha256 over kind, identity and needs."""
        content = {"version": _VERSION, "kind": self.kind, "identity": self.identity, "needs": self.needs}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.kind}-{self.key[:16]}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the table: a row at some shots and a seed."""

    row: str
    shots: int | Literal["all"]
    seed: int
    key: str
    """Of its classifier task."""

    @property
    def name(self) -> str:
        """As ``--only`` takes it."""
        return f"{self.row}/{self.shots}/{self.seed}"


@dataclass(kw_only=True)
class Graph:
    """All cells and the tasks that make them."""

    cells: list[Cell] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)

    def add(self, task: Task) -> str:
        """Add a task where it is not yet there; its key."""
        self.tasks.setdefault(task.key, task)
        return task.key

    def needed(self, cells: list[Cell]) -> list[str]:
        """Keys of the tasks that some cells take, those that come first before the others."""
        order: dict[str, None] = {}

        def visit(key: str) -> None:
            for need in self.tasks[key].needs:
                visit(need)
            order.setdefault(key)

        for cell in cells:
            visit(cell.key)
        return list(order)


def task_graph(plan: ComparePlan) -> Graph:
    """Say what has to be done for a plan.

    Raises:
        InputError: a source or a model is not there, or a class has fewer images than shots.
    """
    builder = _Builder(plan)
    for shots in plan.shots:
        for row in plan.rows:
            for seed in plan.seeds:
                builder.cell(row, shots, seed)
    return builder.graph


class _Builder:
    def __init__(self, plan: ComparePlan) -> None:
        self.plan = plan
        self.graph = Graph()
        self.rows = {row.name: row for row in plan.rows}
        self.train = load_source(plan.data.train)
        self.test = load_source(plan.data.test, classes=self.train.classes)
        self._others: dict[str, SourceListing] = {}
        self._fingerprints: dict[str, str] = {}
        self._filters: dict[RowFilter, dict[str, Any]] = {}

    def cell(self, row: Row, shots: int | Literal["all"], seed: int) -> None:
        """Add a cell and its tasks."""
        self.graph.cells.append(Cell(row=row.name, shots=shots, seed=seed, key=self._classifier(row, shots, seed)))

    def _classifier(self, row: Row, shots: int | Literal["all"], seed: int) -> str:
        images, source = self._images(row, shots, seed)
        needs = () if row.method is None else (self._generate(row, shots, images, source, seed),)
        config = self.plan.classifier_of(row, shots, seed)
        start = classifier_fingerprint(config.model) if Path(config.model).is_dir() else config.model
        options = config.model_dump(mode="json", exclude={*FREE, "model"})
        identity = {"train": images.hash(), "test": self.test.hash(), "start": start, "config": options}
        settings = {"source": source, "test": self.plan.data.test, "config": config.model_dump(mode="json")}
        if row.filter is not None:
            if row.filter.model is not None:
                marks = self._marks(row.filter, row.filter.model)
            else:
                judge = self._classifier(self.rows[row.filter.row or ""], shots, seed)
                marks, needs = filter_identity(row.filter, judge), (*needs, judge)
            identity["filter"] = marks
            settings["filter"] = {"identity": marks, "row": row.filter.model_dump(mode="json")}
        return self.graph.add(
            Task(kind="classifier", identity=identity | self._machine(), settings=settings, needs=needs)
        )

    def _marks(self, row_filter: RowFilter, model: str) -> dict[str, Any]:
        """What the marks of a filter depend on; its model is loaded, so that a missing one is found now."""
        if row_filter not in self._filters:
            found = scorer_of(row_filter, self.plan.device, model).fingerprint
            self._filters[row_filter] = filter_identity(row_filter, found)
        return self._filters[row_filter]

    def _machine(self) -> dict[str, Any]:
        return {"threads": self.plan.threads, "device": self.plan.device}

    def _images(self, row: Row, shots: int | Literal["all"], seed: int) -> tuple[SourceListing, dict[str, Any]]:
        """The real images of a cell, and how a task finds them again."""
        if row.train is not None:
            if row.train not in self._others:
                self._others[row.train] = load_source(row.train, classes=self.train.classes)
            return self._others[row.train], {"train": self.plan.data.train, "other": row.train}
        if shots == ALL:
            return self.train, {"train": self.plan.data.train}
        source = {"train": self.plan.data.train, "shots": shots, "seed": seed}
        return self.train.subset(shots, seed), source

    def _generate(
        self, row: Row, shots: int | Literal["all"], images: SourceListing, source: dict[str, Any], seed: int
    ) -> str:
        generator, kind = self.plan.generator_of(row), method_of(row.method or "")
        fields = set(kind.model_fields)
        needs = [] if generator.concepts is None else [self._concepts(generator, images, source, seed)]
        if "pool" in fields:
            needs.append(self._invert(generator, images, source, needs))
        count = max(round(self.plan.multiplier_of(row, shots) * len(images)), 1)
        render = self.plan.render_of(row).model_dump(mode="json")
        counts = (
            images.class_counts().tolist() if "class_counts" in fields and "class_counts" not in row.options else None
        )
        if counts is not None and not any(counts):
            raise InputError(f"Row {row.name!r} has no real images to make others beside.")
        self._try_options(kind, row, images)
        common = {"method": row.method, "options": row.options, "render": render, "count": count, "seed": seed}
        common |= {"class_counts": counts, "meta_class": self.plan.data.meta_class, "batch_size": generator.batch_size}
        task = Task(
            kind="generate",
            identity=common
            | {"model": self._fingerprint(generator.model), "classes": list(images.classes.names)}
            | {"images": images.hash() if "images" in fields else None}
            | _dtype(generator)
            | self._machine(),
            settings=common
            | {"model": generator.model, "source": source, "concepts": generator.concepts is not None}
            | {"dtype": generator.dtype},
            needs=tuple(needs),
        )
        return self.graph.add(task)

    def _try_options(self, kind: type[Method], row: Row, images: SourceListing) -> None:
        """InputError where a row's options are not legal with these images."""
        fields: dict[str, Any] = {"classes": images.classes, **row.options}
        fields |= {name: images.listing for name in ("images", "pool") if name in kind.model_fields}
        try:
            kind.model_validate(fields)
        except ValidationError as error:
            raise InputError(f"options of row {row.name!r}: {plain_words(error, kind, fields)}.") from error

    def _concepts(self, generator: Generator, images: SourceListing, source: dict[str, Any], seed: int) -> str:
        config = self.plan.concepts_of(generator, seed)
        options = {} if config is None else config.model_dump(mode="json")
        own = {"config": options, "meta_class": self.plan.data.meta_class}
        task = Task(
            kind="concepts",
            identity=own | {"images": images.hash(), "model": self._fingerprint(generator.model)} | self._machine(),
            settings=own | {"model": generator.model, "source": source},
        )
        return self.graph.add(task)

    def _invert(self, generator: Generator, images: SourceListing, source: dict[str, Any], needs: list[str]) -> str:
        own = {"inversion": generator.inversion.model_dump(mode="json"), "meta_class": self.plan.data.meta_class}
        own |= {"batch_size": generator.batch_size}
        task = Task(
            kind="invert",
            identity=own
            | {"images": images.hash(), "model": self._fingerprint(generator.model)}
            | _dtype(generator)
            | self._machine(),
            settings=own
            | {"model": generator.model, "source": source, "concepts": bool(needs), "dtype": generator.dtype},
            needs=tuple(needs),
        )
        return self.graph.add(task)

    def _fingerprint(self, model: str) -> str:
        if model not in self._fingerprints:
            self._fingerprints[model] = model_fingerprint(model)
        return self._fingerprints[model]


def _dtype(generator: Generator) -> dict[str, Any]:
    """In an identity only where a plan says it: tasks of plans without it keep their names."""
    return {} if generator.dtype is None else {"dtype": generator.dtype}
