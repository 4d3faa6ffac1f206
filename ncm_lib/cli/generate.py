"""``ncm generate METHOD``: a plan made a data set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, create_model

from ..engine.settings import RenderSettings
from ..methods import Method, NoiseCutMix


def options_of(kind: type[Method]) -> type[BaseModel]:
    """The method's own config fields as a model: everything but what one run fills in (classes, seed, grid)."""
    own: dict[str, Any] = {
        name: (field.annotation, field) for name, field in kind.model_fields.items() if name not in Method.model_fields
    }
    return create_model(f"{kind.__name__}Options", __config__=kind.model_config, __doc__=kind.__doc__, **own)


NoiseCutMixOptions = options_of(NoiseCutMix)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where from, where to, how many."""

    model: str
    """demo, a folder in diffusers' layout, or a hub id."""
    out: Path
    """Folder of the data set; continued where it is unfinished."""
    count: int
    """How many images the data set is to have."""
    classes: str | None = None
    """JSON file, image folder, or names a,b,c. Without it: the classes that the model's own folder lists."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): fills {metaclass} of the prompt."""
    seed: int = 0
    """Sample i depends on the seed and on i alone."""
    batch_size: int | None = None
    """Samples per model call: more is faster until memory is full. Fixed once the data set exists."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is."""
    dtype: str | None = None
    """fp32, bf16, fp16. Without it: fp16 on CUDA, else fp32."""
    image_format: Literal["png", "webp", "jpeg"] = "png"
    """png and webp are lossless; jpeg is smaller and changes pixels."""
    save_masks: bool = True
    """Write each sample's mask beside it."""
    shard: str | None = None
    """I/N: make part I of N (counted from 0) of the data set; start the others with the same command and --out. Without
    it: what a launcher's variables say (RANK and WORLD_SIZE, SLURM's), else all of it."""
    break_lock: bool = False
    """Take the folder over from another process; only when that one is known to be dead."""


@dataclass(frozen=True, kw_only=True)
class GenerateNoiseCutMix:
    """Images that hold two classes each, mixed in the predicted noise, with the soft label of their areas.

    For example:

    - ncm generate noisecutmix --model demo --out aug --count 100
    - ncm generate noisecutmix --model sd15 --classes birds.json --out aug --count 1000 --seed 7
    """

    run: Annotated[Run, tyro.conf.arg(name="")]
    method: Annotated[NoiseCutMixOptions, tyro.conf.arg(name="")] = NoiseCutMixOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    render: Annotated[RenderSettings, tyro.conf.arg(name="")] = RenderSettings()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return run_generate(NoiseCutMix, dict(self.method), self.run, self.render)


def run_generate(kind: Callable[..., Method], options: dict[str, Any], run: Run, render: RenderSettings) -> int:
    """Load, plan, generate with a progress bar, and say where everything is."""
    from transformers.utils import logging

    from ..engine.generate import generate
    from ..engine.load import load_model
    from ..engine.shards import Shard, device_of_environment, shard_of_environment
    from ..errors import InputError
    from ..plan.classes import ClassList
    from .progress import ProgressBar

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    classes = ClassList.load(run.classes) if run.classes is not None else None
    if classes is not None:
        kind(classes=with_meta_class(classes, run.meta_class), **options)  # a bad config is told before a model loads
    shard = shard_of_environment(os.environ) if run.shard is None else Shard.parse(run.shard)
    model = load_model(run.model, device=run.device or device_of_environment(os.environ), dtype=run.dtype)
    classes = classes or model.classes
    if classes is None:
        raise InputError(
            f"The model {run.model} does not list classes of its own; give --classes "
            "(a JSON file, an image folder, or a,b,c)."
        )
    with ProgressBar() as bar:
        summary = generate(
            kind(classes=with_meta_class(classes, run.meta_class), **options),
            model,
            out=run.out,
            count=run.count,
            seed=run.seed,
            batch_size=run.batch_size,
            settings=render,
            image_format=run.image_format,
            save_masks=run.save_masks,
            break_lock=run.break_lock,
            shard=shard,
            on_progress=bar,
        )
    if shard.count > 1:
        print(f"shard {shard}: {summary.count} of {run.count} samples are its own")
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"{summary.path}: {summary.made} images made, {summary.skipped} were there, {summary.failed} failed "
        f"({summary.seconds:.1f} s)\nlook at {summary.path / 'preview.png'}"
    )
    if summary.failed:
        print(f"{summary.failed} samples failed; see {summary.path / 'failures.jsonl'}", file=sys.stderr)
        return 1
    return 0


def with_meta_class(classes: Any, meta_class: str | None) -> Any:
    """The class list with another metaclass, where one is given."""
    from dataclasses import replace

    return classes if meta_class is None else replace(classes, meta_class=meta_class)
