"""``ncm train-classifier``: does it help?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import tyro
from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from ..training.classifier_config import ClassifierTraining
from ..wording import counted
from .bars import Bar

if TYPE_CHECKING:
    from ..training.classifier import ClassifierProgress


def _optional(field: FieldInfo) -> tuple[Any, Any]:
    """The field where nothing is meant by default: then the protocol says it."""
    text = (field.description or "").strip()
    shown = text if field.default is None else f"{text} (noisecutmix: {field.default})"
    return Optional[field.annotation], Field(default=None, description=shown)  # pyright: ignore[reportInvalidTypeForm]  # noqa: UP045


_OPTIONS: dict[str, Any] = {name: _optional(field) for name, field in ClassifierTraining.model_fields.items()}
ClassifierOptions = create_model(
    "ClassifierOptions",
    __config__=ConfigDict(frozen=True, extra="forbid", protected_namespaces=()),
    __doc__="How it is trained; what is not given is the protocol's.",
    **_OPTIONS,
)


@dataclass(frozen=True, kw_only=True)
class Data:
    """What it is trained and tested on."""

    data: Path
    """The real training images: a folder with one sub-folder per class, or what else holds images and classes."""
    benchmark: Literal["cub-200", "oxford-flowers", "fgvc-aircraft", "stanford-cars", "oxford-pets", None] = None
    """--data is this published data set as its authors pack it: its training part trains, its test part tests."""
    split: Literal["official", "noisecutmix"] = "official"
    """Of --benchmark. noisecutmix: as in that paper's table, with Oxford Flowers' parts swapped."""
    out: Path
    """Folder of the training; continued where it is unfinished."""
    synthetic: tuple[Path, ...] = ()
    """Data sets that `ncm generate` made, any number of them; their classes must be those of the real images."""
    test: Path | None = None
    """Images for the final scores; nothing else looks at them. Without it: no test scores."""
    validation_data: Path | None = None
    """Images that choose the epoch. Without it: a share of --data (--validation)."""
    protocol: Literal["noisecutmix", "diff-ii"] = "noisecutmix"
    """Whose settings are meant where none are given: NoiseCutMix 4.3 (Adam), or Diff-II's (SGD, cosine, replacing)."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is."""


@dataclass(frozen=True, kw_only=True)
class TrainClassifier:
    """Train an image classifier on real and synthetic images; the test is looked at once, at the end.

    Writes model/ (transformers' layout), result.json, metrics.jsonl, and of the test confusion.json (for `ncm generate
    --confusion`), confusion.npy, confusion.png and reliability.png. The same command continues after an interruption.

    For example:

    - ncm train-classifier --data birds --test birds-test --synthetic aug --out with-aug
    - ncm train-classifier --data birds --model resnet-32px --pixel cutmix --epochs 30 --out small --seed 3
    - ncm train-classifier --data birds --synthetic aug --protocol diff-ii --learning-rate 0.1 --out replaced
    """

    what: Annotated[Data, tyro.conf.arg(name="")]
    training: Annotated[ClassifierOptions, tyro.conf.arg(name="")] = ClassifierOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..sources.benchmarks import load_benchmark
        from ..training.classifier import train_classifier
        from .quiet import quiet

        quiet()
        config = ClassifierTraining.of(self.what.protocol, **dict(self.training))
        data, test, name = self.what.data, self.what.test, self.what.benchmark
        if name is not None:
            data = load_benchmark(name, self.what.data, "train", split=self.what.split)
            if test is None:
                test = load_benchmark(name, self.what.data, "test", split=self.what.split)
        with _EpochsBar() as show:
            done = train_classifier(
                data,
                out=self.what.out,
                synthetic=self.what.synthetic,
                validation=self.what.validation_data,
                test=test,
                config=config,
                device=self.what.device,
                on_progress=show,
            )
        for note in done.notes:
            print(f"note: {note}", file=sys.stderr)
        images = done.images
        print(
            f"{done.path}: {images['train']} real and {counted(images['synthetic'], 'synthetic image')}; epoch "
            f"{done.epoch + 1} of {config.epochs} has the best validation accuracy, "
            f"{100 * done.validation['accuracy']:.2f} % of {counted(images['validation'], 'image')}"
        )
        if done.test is not None:
            print(
                f"test: {100 * done.test['accuracy']:.2f} % of {counted(round(done.test['count']), 'image')} "
                f"(mean over classes {100 * done.test['balanced_accuracy']:.2f} %), ECE {100 * done.test['ece']:.2f} %"
            )
        return 0


class _EpochsBar:
    """Epochs, epochs per second, the time that is left, and how well it goes."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def __enter__(self) -> _EpochsBar:
        return self

    def __call__(self, progress: ClassifierProgress) -> None:
        if self._bar is None:
            self._bar = Bar(progress.epochs, "epochs", initial=progress.epoch - 1)
        told = {"loss": f"{progress.train_loss:.3f}", "validation": f"{progress.validation_accuracy:.3f}"}
        self._bar.set_postfix(told, refresh=False)
        self._bar.reach(progress.epoch)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
