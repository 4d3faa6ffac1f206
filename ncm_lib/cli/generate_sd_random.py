"""``ncm generate sd-random`` and ``real-filter``: images from noise and a prompt."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from ..engine.settings import RenderSettings
from ..methods.real_filter import RealFilter
from ..methods.sd_random import SDRandom
from .classes import Classes
from .generate import Run, options_of, run_generate
from .sampling import Counts, sample_count

SDRandomOptions = options_of(SDRandom, {field.name for field in fields(Counts)})


@dataclass(frozen=True, kw_only=True)
class GenerateSDRandom:
    """Images of one class each, from noise and the class's prompt alone, with its hard label: the plain baseline.

    For example:

    - ncm generate sd-random --model demo --out aug --count 100
    - ncm generate sd-random --model SD15_FOLDER --concepts bird-concepts --data birds --multiplier 5 --out aug
    """

    run: Annotated[Run, tyro.conf.arg(name="")]
    classes: Annotated[Classes, tyro.conf.arg(name="")] = Classes()  # noqa: RUF009
    method: Annotated[SDRandomOptions, tyro.conf.arg(name="")] = SDRandomOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    counts: Annotated[Counts, tyro.conf.arg(name="")] = Counts()  # noqa: RUF009
    render: Annotated[RenderSettings, tyro.conf.arg(name="")] = RenderSettings()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self._make(SDRandom)

    def _make(self, kind: type[SDRandom]) -> int:
        classes = self.classes.of(self.run.describing, self.run.concepts)
        method = kind(classes=classes, **self.counts.fields(classes, dict(self.method)))
        return run_generate(method, self.run, self.render, count=sample_count(self.run.count, method.config()))


@dataclass(frozen=True, kw_only=True)
class ClipFilter:
    """How the images are filtered."""

    clip_model: Path
    """Folder of a CLIP model in transformers' layout: when all images are there, it scores each against its prompt."""
    keep: float = 0.9
    """Share of the images that the filter keeps, those with the highest scores; it only marks them."""


@dataclass(frozen=True, kw_only=True)
class GenerateRealFilter(GenerateSDRandom):
    """As sd-random, with those marked that fit their prompt worst: as `ncm filter` does it, and none is deleted.

    SyntheticDataset("aug", filter="clip") and ncm export --filter clip leave them out.

    For example:

    - ncm generate real-filter --model demo --clip-model clip-vit-base-patch32 --out aug --count 100
    - ncm generate real-filter --model SD15_FOLDER --classes birds.json --data birds --clip-model clip --keep .8 --out a
    """

    filter: Annotated[ClipFilter, tyro.conf.arg(name="")]

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..metrics.clip_score import ClipScore
        from ..store.ledger import Ledger
        from ..store.manifest import Manifest
        from .filter import check_keep, run_filter

        check_keep(self.filter.keep)
        prompt = self.method.prompt  # pyright: ignore[reportAttributeAccessIssue]
        # a model that cannot be read is told before anything is made
        scorer = ClipScore(self.filter.clip_model, prompt=prompt, device=self.run.device)
        code = self._make(RealFilter)
        if code or self.run.dry_run:
            return code
        manifest = Manifest.read(self.run.out)
        done = int(Ledger.read(self.run.out, manifest).done.sum())
        if done < manifest.count:
            print(
                f"note: {done} of {manifest.count} images are there; the filter comes when all are: run the command "
                "again then, or ncm filter",
                file=sys.stderr,
            )
            return 0
        return run_filter(self.run.out, scorer, keep=self.filter.keep)
