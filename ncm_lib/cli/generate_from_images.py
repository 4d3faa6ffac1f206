"""``ncm generate`` by the methods that start from real images."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from ..engine.settings import RenderSettings
from ..errors import InputError
from ..methods import DAFusion, DiffAug, DiffMix, RealGuidance, RealMix
from ..methods.image_start import ImageStart
from ..sources.listing import SourceListing
from .classes import Classes
from .generate import Run, options_of, run_generate
from .sampling import Confusion


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """The real images to start from, and how many are made."""

    data: Path
    """The real images: a folder with one sub-folder per class, or what else holds images and classes (a CSV list,
    Parquet files, WebDataset shards). As many are made of each class (--multiplier, --balance, --top-up and
    --class-counts change that)."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What becomes of files that cannot be used as images: the end, or a note."""
    multiplier: float | None = None
    """So many times the real images of each class."""
    balance: bool = False
    """Fill every class up, so that real and made images together are as many for all classes."""
    top_up: int | None = None
    """Fill up to this many real and made images for every class that has fewer (long tails)."""

    def read(self, classes: Classes, run: Run) -> SourceListing:
        """The listing, under the class list that is meant.

        That is the one of --classes or --concepts; else the model's own where it has the same names, else the data's.

        Raises:
            InputError: an unreadable source, or classes that do not fit it.
        """
        from ..engine.load import model_classes
        from ..sources.load import load_source

        if classes.classes is not None or run.concepts is not None:
            asked = classes.of(run.describing, run.concepts)
            images = load_source(self.data, classes=asked, bad_images=self.bad_images)
        else:
            images = load_source(self.data, bad_images=self.bad_images)
            own = model_classes(run.describing)
            if own is not None and sorted(own.names) == sorted(images.classes.names):
                # the ids, words and metaclass that other data sets of this model have
                images = load_source(self.data, classes=own, bad_images=self.bad_images)
            images = images.with_classes(classes.named(images.classes))
        for note in images.notes:
            print(f"note: {note}", file=sys.stderr)
        return images

    def counts(self, images: SourceListing, asked: tuple[int, ...] | None) -> tuple[int, ...]:
        """How often each class is made in one round.

        Raises:
            InputError: two options say so, or nothing is left to be made.
        """
        from ..plan.counts import synthetic_counts

        if asked is None:
            real = images.class_counts().tolist()
            return tuple(synthetic_counts(real, multiplier=self.multiplier, balance=self.balance, top_up=self.top_up))
        options = {"--multiplier": self.multiplier, "--balance": self.balance or None, "--top-up": self.top_up}
        if taken := [option for option, value in options.items() if value is not None]:
            raise InputError(f"{taken[0]} and --class-counts both say how often a class is made; give one of the two.")
        return asked


@dataclass(frozen=True, kw_only=True)
class _FromImages:
    """What the commands of these methods share."""

    kind: ClassVar[type[ImageStart]]

    run: Annotated[Run, tyro.conf.arg(name="")]
    images: Annotated[RealImages, tyro.conf.arg(name="")]
    classes: Annotated[Classes, tyro.conf.arg(name="")] = Classes()  # noqa: RUF009
    render: Annotated[RenderSettings, tyro.conf.arg(name="")] = RenderSettings()  # noqa: RUF009

    def _make(self, options: dict[str, Any], confusion: Confusion | None = None) -> int:
        images = self.images.read(self.classes, self.run)
        options["class_counts"] = counts = self.images.counts(images, options["class_counts"])
        if confusion is not None:
            options |= confusion.matrix(images.classes)
        method = self.kind(classes=images.classes, images=images.listing, **options)
        count = sum(counts) if self.run.count is None else self.run.count
        return run_generate(method, self.run, self.render, count=count, images=images)


_LISTED = {"images"}
_PAIRED = _LISTED | {field.name for field in fields(Confusion)}
RealGuidanceOptions = options_of(RealGuidance, _LISTED)
DAFusionOptions = options_of(DAFusion, _LISTED)
DiffAugOptions = options_of(DiffAug, _LISTED)
DiffMixOptions = options_of(DiffMix, _PAIRED)
RealMixOptions = options_of(RealMix, _PAIRED)


@dataclass(frozen=True, kw_only=True)
class GenerateRealGuidance(_FromImages):
    """Variations of real images under the prompt of their class, with its hard label.

    For example:

    - ncm generate real-guidance --model demo --data train --out aug
    - ncm generate real-guidance --model SD15_FOLDER --data data --meta-class bird --strengths .3 --multiplier 5 --out x
    """

    kind = RealGuidance
    method: Annotated[RealGuidanceOptions, tyro.conf.arg(name="")] = RealGuidanceOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(dict(self.method))


@dataclass(frozen=True, kw_only=True)
class GenerateDAFusion(_FromImages):
    """Every real image varied at several strengths: under its class's learned word, with its hard label.

    The published method learns the words and leaves the denoiser as it is: give --concepts without a LoRA.

    For example:

    - ncm generate da-fusion --model demo --data train --out aug
    - ncm generate da-fusion --model SD15_FOLDER --concepts bird-words --data birds --multiplier 10 --out aug
    """

    kind = DAFusion
    method: Annotated[DAFusionOptions, tyro.conf.arg(name="")] = DAFusionOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(dict(self.method))


@dataclass(frozen=True, kw_only=True)
class GenerateDiffAug(_FromImages):
    """Variations of real images by a model that has learned their classes: with the hard label of the class.

    For example:

    - ncm generate diff-aug --model demo --data train --out aug
    - ncm generate diff-aug --model SD15_FOLDER --concepts bird-concepts --data birds --multiplier 5 --out aug
    """

    kind = DiffAug
    method: Annotated[DiffAugOptions, tyro.conf.arg(name="")] = DiffAugOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(dict(self.method))


@dataclass(frozen=True, kw_only=True)
class GenerateDiffMix(_FromImages):
    """Real images of one class made into another: by a model that has learned both, with a soft label of the two.

    The counts (--data, --multiplier, --balance, --top-up, --class-counts) are of the class that an image is made into.

    For example:

    - ncm generate diff-mix --model demo --data train --out aug
    - ncm generate diff-mix --model SD15_FOLDER --concepts bird-concepts --data birds --strengths 0.5 0.7 0.9 --out aug
    """

    kind = DiffMix
    method: Annotated[DiffMixOptions, tyro.conf.arg(name="")] = DiffMixOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    pairs: Annotated[Confusion, tyro.conf.arg(name="")] = Confusion()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(dict(self.method), self.pairs)


@dataclass(frozen=True, kw_only=True)
class GenerateRealMix(_FromImages):
    """As diff-mix, by a model that was not tuned to the classes: real images of one class made into another.

    For example:

    - ncm generate real-mix --model demo --data train --out aug
    - ncm generate real-mix --model SD15_FOLDER --data birds --pair-policy balanced --multiplier 5 --out aug
    """

    kind = RealMix
    method: Annotated[RealMixOptions, tyro.conf.arg(name="")] = RealMixOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    pairs: Annotated[Confusion, tyro.conf.arg(name="")] = Confusion()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(dict(self.method), self.pairs)
