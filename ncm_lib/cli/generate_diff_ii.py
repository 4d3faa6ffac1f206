"""``ncm generate diff-ii``: images between the inverted ones."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from ..engine.settings import RenderSettings
from ..methods.diff_ii import DiffII
from .generate import Run, options_of, run_generate


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What the plan is made from."""

    pool: Path
    """Folder that `ncm invert` made with the same model: inverted images, their classes, size and prompt."""
    suffixes: Path | None = None
    """Text file with one suffix per line (`ncm suffixes` makes one): the first steps have the prompt and one of them.
    Without it: the prompt alone in all steps, and images closer to the real ones."""
    prompt: str | None = None
    """The prompt template, with {class} and {metaclass}. It must be the pool's, which is also what it is without it."""


DiffIIOptions = options_of(DiffII, {field.name for field in fields(Pool)})


@dataclass(frozen=True, kw_only=True)
class GenerateDiffII:
    """New images between two of a class: from the circle through their inversions, with the class as hard label.

    The classes are the pool's; there are as many images as it has, times --expansion.

    For example:

    - ncm generate diff-ii --model demo --pool pool --out aug
    - ncm generate diff-ii --model SD15_FOLDER --pool pool --suffixes lines.txt --suffix-fraction 0.1 --out a --dry-run
    """

    run: Annotated[Run, tyro.conf.arg(name="")]
    pool: Annotated[Pool, tyro.conf.arg(name="")]
    method: Annotated[DiffIIOptions, tyro.conf.arg(name="")] = DiffIIOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    render: Annotated[RenderSettings, tyro.conf.arg(name="")] = RenderSettings()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..concepts.read import read_concepts
        from ..engine.concepts import joint_fingerprint
        from ..engine.pool_settings import settings_for_pool
        from ..plan.suffixes import read_suffixes
        from ..sources.pool import InversionPool

        pool = InversionPool(self.pool.pool)
        suffixes = () if self.pool.suffixes is None else read_suffixes(self.pool.suffixes)
        prompt = pool.head.prompt if self.pool.prompt is None else self.pool.prompt
        method = DiffII(classes=pool.classes, pool=pool.listing, suffixes=suffixes, prompt=prompt, **dict(self.method))
        fingerprint = self.run.fingerprint()
        if self.run.concepts is not None:
            fingerprint = joint_fingerprint(fingerprint, read_concepts(self.run.concepts))
        render = settings_for_pool(self.render, pool, prompt=prompt, fingerprint=fingerprint)
        count = method.size if self.run.count is None else self.run.count
        return run_generate(method, self.run, render, count=count, inversion=pool.latent)
