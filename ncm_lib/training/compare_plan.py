"""What a comparison is told: data, generators, rows, shots and seeds, from a TOML file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..engine.settings import RenderSettings
from ..errors import InputError
from ..methods import Method
from ..plan.plain_words import plain_words
from ..plan.prompts import DEFAULT_TEMPLATE
from .classifier_config import ClassifierTraining
from .concepts_config import ConceptTraining

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALL = "all"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class Data(_Part):
    """The table ``data``."""

    train: str
    """Real images that the few shots are drawn from."""
    test: str
    """Images for the final scores of every cell."""
    meta_class: str = ""
    """What the classes are kinds of: fills {metaclass} of prompts."""


class Inversion(_Part):
    """``inversion`` of a generator: how Diff-II's pools are made."""

    num_inference_steps: int = Field(default=50, ge=1)
    timestep_spacing: Literal["trailing", "leading"] = "trailing"


class Generator(_Part):
    """A table ``generators.NAME``."""

    model: str
    """demo, a folder, a file or a hub id."""
    concepts: dict[str, Any] | None = None
    """Options of a concept training (``ConceptTraining``), which every (shots, seed) then has for itself. Without it:
    the model as it is."""
    inversion: Inversion = Inversion()
    batch_size: int = Field(default=8, ge=1)
    """Samples per model call."""
    dtype: Literal["fp32", "bf16", "fp16"] | None = None
    """Of the weights that invert and generate. Without it: fp16 on CUDA, else fp32. A concept training has
    mixed_precision."""


class RowFilter(_Part):
    """``filter`` of a row: what ``ncm filter`` is told. Marks alone; other rows still see all images."""

    by: Literal["classifier", "clip"] = "classifier"
    """classifier: how sure it is of the label. clip: similarity of image and prompt."""
    model: str | None = None
    """Folder of what scores: of a classifier with the plan's classes, or of a CLIP model."""
    row: str | None = None
    """In place of a model: the row whose classifier of the same shots and seed scores, such as "original", which has
    seen nothing but the few shots."""
    keep: float = Field(default=0.9, gt=0, le=1)
    """Share of the images to keep, those with the highest scores."""
    per_class: bool = False
    """Take the share of each class."""
    prompt: str = DEFAULT_TEMPLATE
    """For clip: the template, with {class} and {metaclass}."""

    @model_validator(mode="after")
    def _one_judge(self) -> RowFilter:
        if (self.model is None) == (self.row is None):
            raise ValueError("takes either a model or a row, whose classifier scores")
        if self.row is not None and self.by == "clip":
            raise ValueError('by = "clip" takes a model; a row has a classifier')
        return self


class Row(_Part):
    """An entry of ``rows``: one line of the report's tables."""

    name: str
    method: str | None = None
    """What generates (noisecutmix, sd-random, diff-ii, diff-mix...). Without it: real images alone."""
    generator: str | None = None
    """Name of a generator; with one generator in the plan it need not be said."""
    multiplier: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Synthetic images per real one. Without it: that of [at], else 1."""
    options: dict[str, Any] = {}
    """Options of the method."""
    render: dict[str, Any] = {}
    """Take the place of [render]."""
    classifier: dict[str, Any] = {}
    """Take the place of [classifier], such as pixel = "cutmix"."""
    train: str | None = None
    """Other real images in place of the few shots, all of them: such as those that the generator has seen."""
    filter: RowFilter | None = None
    """Leave out the synthetic images that fit their labels worst."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[^/\s][^/\n]*", name):
            raise ValueError(f"a row is called {name!r}; take a name without a slash, since cells are ROW/SHOTS/SEED")
        return name


class At(_Part):
    """A table ``at.SHOTS``: what is otherwise at some number of shots."""

    multiplier: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of the rows that have none of their own."""
    classifier: dict[str, Any] = {}
    """Take the place of [classifier]; those of a row take the place of these."""


class ComparePlan(_Part):
    """A plan file."""

    data: Data
    shots: tuple[int | Literal["all"], ...] = Field(min_length=1)
    """Real images per class; "all" is every image."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Each changes the subset, the generator and the classifier."""
    baseline: str
    """The row that all others are compared with."""
    threads: int = Field(default=1, ge=1)
    """Per job; part of what numbers depend on, so it does not follow --jobs."""
    device: str = "cpu"
    """cpu, cuda, mps."""
    classifier: dict[str, Any] = {}
    render: dict[str, Any] = {}
    at: dict[str, At] = {}
    """By number of shots: fewer images per real one where there are many, as many updates where there are few. Rows
    with real images of their own (train) have no shots and ignore it."""
    generators: dict[str, Generator] = {}
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> ComparePlan:
        names = [row.name for row in self.rows]
        for what, values in (("rows", names), ("seeds", self.seeds), ("shots", self.shots)):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} has an entry twice: {list(values)}")
        if self.baseline not in names:
            raise ValueError(f"the baseline is {self.baseline!r}, which is no row; there are {', '.join(names)}")
        if any(shots != ALL and shots < 1 for shots in self.shots) or any(seed < 0 for seed in self.seeds):
            raise ValueError('shots are 1 or more (or "all"), and seeds are 0 or more')
        if unknown := sorted(self.at.keys() - set(map(str, self.shots))):
            raise ValueError(f"at has {', '.join(unknown)}, and the shots are {', '.join(map(str, self.shots))}")
        for row in self.rows:
            self._check(row)
        return self

    def _check(self, row: Row) -> None:
        """All options of a row are tried before anything runs."""
        for shots in self.shots:
            try:
                self.classifier_of(row, shots, 0)
            except InputError as error:
                raise ValueError(f"classifier of row {row.name!r}: {error}") from error
        if row.method is None:
            if row.filter is not None:
                raise ValueError(f"row {row.name!r} has a filter and no method: there is nothing that it could filter")
            return
        if row.filter is not None and row.filter.row is not None:
            self._check_judge(row, row.filter.row)
        kind, generator = method_of(row.method), self.generator_of(row)
        if unknown := sorted(row.options.keys() - kind.model_fields.keys()):
            known = sorted(kind.model_fields.keys() - Method.model_fields.keys() - {"images", "pool"})
            raise ValueError(f"row {row.name!r} gives {row.method} the options {unknown}; it has {known}")
        _checked(RenderSettings, self.render | row.render, f"render of row {row.name!r}")
        if generator.concepts is not None:
            _checked(ConceptTraining, generator.concepts, "concepts")

    def _check_judge(self, row: Row, name: str) -> None:
        judge = next((other for other in self.rows if other.name == name), None)
        if judge is None:
            raise ValueError(
                f"the filter of row {row.name!r} names the row {name!r}; there are "
                f"{', '.join(other.name for other in self.rows)}"
            )
        if judge.filter is not None:
            raise ValueError(f"the filter of row {row.name!r} names the row {name!r}, which is filtered itself")

    def generator_of(self, row: Row) -> Generator:
        """The generator that a row means."""
        name = row.generator or (next(iter(self.generators)) if len(self.generators) == 1 else None)
        if name not in self.generators:
            raise ValueError(
                f"row {row.name!r} names the generator {row.generator!r}; there are "
                f"{', '.join(self.generators) or 'none'}"
            )
        return self.generators[name]

    def multiplier_of(self, row: Row, shots: int | Literal["all"]) -> float:
        """Synthetic images per real one."""
        return row.multiplier or self._at(row, shots).multiplier or 1.0

    def _at(self, row: Row, shots: int | Literal["all"]) -> At:
        return At() if row.train is not None else self.at.get(str(shots), At())

    def classifier_of(self, row: Row, shots: int | Literal["all"], seed: int) -> ClassifierTraining:
        """The classifier training of a row, settled."""
        fields: dict[str, Any] = {**self.classifier, **self._at(row, shots).classifier, **row.classifier, "seed": seed}
        return ClassifierTraining.of(fields.pop("protocol", "noisecutmix"), **fields).settled()

    def concepts_of(self, generator: Generator, seed: int) -> ConceptTraining | None:
        """The concept training of a generator, if it has one."""
        if generator.concepts is None:
            return None
        return ConceptTraining.model_validate(generator.concepts | {"seed": seed})

    def render_of(self, row: Row) -> RenderSettings:
        """How a row's images are rendered."""
        return RenderSettings.model_validate(self.render | row.render)


def method_of(name: str) -> type[Method]:
    """The method of a name."""
    from .. import methods

    kinds = {kind.name: kind for kind in map(methods.__dict__.get, methods.__all__) if kind not in (None, Method)}
    if name not in kinds:
        raise InputError(f"There is no method {name!r}; there are {', '.join(sorted(kinds))}.")
    return kinds[name]


def load_plan(path: str | Path) -> ComparePlan:
    """Read a plan; relative paths in it start from its folder.

    Raises:
        InputError: it cannot be read, is no TOML, or holds what is not legal; the message says where.
    """
    file = Path(path)
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            f"{file} cannot be read as a plan ({error}); it is a TOML file, see `ncm compare --help`."
        ) from error
    try:
        plan = ComparePlan.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: {plain_words(error, ComparePlan, content)}.".replace("?.", "?")) from error
    return _placed(plan, file.absolute().parent)


def _placed(plan: ComparePlan, folder: Path) -> ComparePlan:
    """The plan with paths that do not depend on the working directory."""

    def place(text: str) -> str:
        return str(folder / text) if (folder / text).exists() else text

    def placed(part: _Part, name: str) -> Any:
        text = getattr(part, name)
        return part if text is None else part.model_copy(update={name: place(text)})

    def classifier(part: Any) -> Any:
        model = part.classifier.get("model")
        if not isinstance(model, str):
            return part
        return part.model_copy(update={"classifier": part.classifier | {"model": place(model)}})

    generators = {name: one if one.model == "demo" else placed(one, "model") for name, one in plan.generators.items()}
    rows: list[Row] = []
    for row in plan.rows:
        update = {} if row.filter is None else {"filter": placed(row.filter, "model")}
        rows.append(classifier(placed(row, "train")).model_copy(update=update))
    return classifier(plan).model_copy(
        update={
            "data": placed(placed(plan.data, "train"), "test"),
            "generators": generators,
            "rows": tuple(rows),
            "at": {shots: classifier(at) for shots, at in plan.at.items()},
        }
    )


def _checked(kind: type[BaseModel], fields: dict[str, Any], what: str) -> None:
    try:
        kind(**fields)
    except ValidationError as error:
        raise ValueError(f"{what}: {plain_words(error, kind, fields)}") from error
