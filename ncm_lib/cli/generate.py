"""``ncm generate METHOD``: a plan made a data set."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, create_model

from ..engine.settings import RenderSettings
from ..engine.starts import Inversion
from ..methods import Method, NoiseCutMix
from ..sources.listing import SourceListing
from ..wording import counted
from .classes import Classes
from .model_options import ModelOptions
from .quiet import quiet
from .ray_address import RayAddress
from .sampling import Sampling, sample_count


def options_of(kind: type[Method], given: Collection[str]) -> type[BaseModel]:
    """The method's own config fields as a model: all but what one run fills in (classes, seed, grid) ``given``."""
    own: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in kind.model_fields.items()
        if name not in {*Method.model_fields, *given}
    }
    return create_model(f"{kind.__name__}Options", __config__=kind.model_config, __doc__=kind.__doc__, **own)


NoiseCutMixOptions = options_of(NoiseCutMix, {field.name for field in fields(Sampling)})


@dataclass(frozen=True, kw_only=True)
class Run(ModelOptions):
    """Where from, where to, how many."""

    concepts: Path | None = None
    """Folder of learned class concepts: what `ncm train-concepts` made, a checkpoint that Diff-Mix published, or
    diffusers' files. Prompts then name the classes by their learned words."""
    any_base: bool = False
    """With --concepts: also take concepts that were learned with another model, as long as they fit."""
    out: Path
    """Folder of the data set; continued where it is unfinished."""
    count: int | None = None
    """How many images the data set is to have. Without it: one round of the class counts (--data) or of the pool."""
    seed: int = 0
    """Sample i depends on the seed and on i alone."""
    batch_size: int | Literal["auto"] | None = None
    """Samples per model call: more is faster until memory is full; auto tries how many fit. Fixed once the data set
    exists."""
    image_format: Literal["png", "webp", "jpeg"] = "png"
    """png and webp are lossless; jpeg is smaller and changes pixels."""
    save_masks: bool = True
    """Write each sample's mask beside it."""
    shard: str | None = None
    """I/N: make part I of N (counted from 0) of the data set; start the others with the same command and --out. Without
    it: what a launcher's variables say (RANK and WORLD_SIZE, SLURM's), else all of it."""
    ray: RayAddress = None
    """Let Ray's actors make it: on this machine, or with an ADDRESS (auto, host:port) on the cluster that runs there.
    --out and a model's folder must be at the same path on all of its machines."""
    ray_actors: int | None = None
    """With --ray: how many actors, each with the model. Without it: one per GPU, or per machine where there is none."""
    dry_run: bool = False
    """Only say what would be made and what it would cost; one batch is tried, and nothing is written."""
    break_lock: bool = False
    """Take the folder over from another process; only when that one is known to be dead."""


@dataclass(frozen=True, kw_only=True)
class GenerateNoiseCutMix:
    """Images that hold two classes each: mixed in the predicted noise, with the soft label of their areas.

    For example:

    - ncm generate noisecutmix --model demo --out aug --count 100
    - ncm generate noisecutmix --model SD15_FOLDER --classes birds.json --out aug --count 1000 --seed 7 --dry-run
    - ncm generate noisecutmix --model SD15_FOLDER --classes train --data train --balance --out aug
    - ncm generate noisecutmix --model SD15_FOLDER --concepts ckpts/cub/shot-1-lora-rank10 --out aug --count 1000
    - ncm generate noisecutmix --model SD15_FOLDER --classes a,b --lora style.safetensors:0.8 --out aug --count 1000
    - ncm generate noisecutmix --model mine.safetensors --config SD15_FOLDER --classes a,b --channels-last
      --compile --batch-size auto --out aug --count 9000
    """

    run: Annotated[Run, tyro.conf.arg(name="")]
    classes: Annotated[Classes, tyro.conf.arg(name="")] = Classes()  # noqa: RUF009
    method: Annotated[NoiseCutMixOptions, tyro.conf.arg(name="")] = NoiseCutMixOptions()  # pyright: ignore[reportInvalidTypeForm]  # noqa: RUF009
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = Sampling()  # noqa: RUF009
    render: Annotated[RenderSettings, tyro.conf.arg(name="")] = RenderSettings()  # noqa: RUF009

    def __call__(self) -> int:
        """Run the command; the exit code."""
        classes = self.classes.of(self.run.describing, self.run.concepts)
        method = NoiseCutMix(classes=classes, **self.sampling.fields(classes, dict(self.method)))
        return run_generate(method, self.run, self.render, count=sample_count(self.run.count, method.config()))


def run_generate(
    method: Method,
    run: Run,
    render: RenderSettings,
    *,
    count: int,
    inversion: Inversion | None = None,
    images: SourceListing | None = None,
) -> int:
    """Load, generate with a progress bar, and say where everything is; or only say what would be made."""
    from ..engine.concepts import load_concepts
    from ..engine.generate import generate
    from ..engine.shards import Shard, device_of_environment, shard_of_environment
    from ..errors import InputError
    from .dry_run import dry_run
    from .progress import ProgressBar

    quiet()
    shard = Shard() if run.ray is not None else shard_of_environment(os.environ)
    if run.shard is not None:
        if run.ray is not None:
            raise InputError(f"--ray and --shard {run.shard} do not go together: Ray shares the work out itself.")
        shard = Shard.parse(run.shard)
    if run.ray is not None and not run.dry_run:
        from ..engine.ray_run import generate_with_ray

        where = {"device": run.device, "dtype": run.dtype, "address": run.ray, "actors": run.ray_actors}
        where |= {"concepts": run.concepts, "any_base": run.any_base} | run.load_options()
        make = partial(generate_with_ray, method, run.model, inversion=inversion, images=images, **where)
    else:
        model = run.load(device_of_environment(os.environ))
        if run.concepts is not None:
            model = load_concepts(model, run.concepts, any_base=run.any_base)
        if run.dry_run:
            return dry_run(method, model, run, count, render, shard, inversion, images)
        make = partial(generate, method, model, shard=shard, inversion=inversion, images=images)
    with ProgressBar() as bar:
        summary = make(
            out=run.out,
            count=count,
            seed=run.seed,
            batch_size=run.batch_size,
            settings=render,
            image_format=run.image_format,
            save_masks=run.save_masks,
            break_lock=run.break_lock,
            on_progress=bar,
        )
    if shard.count > 1:
        print(f"shard {shard}: {summary.count} of {count} samples are its own")
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"{summary.path}: {counted(summary.made, 'image')} made, {summary.skipped} there already, {summary.failed} "
        f"failed ({summary.seconds:.1f} s)\nlook at {summary.path / 'preview.png'}"
    )
    if summary.failed:
        print(f"{counted(summary.failed, 'sample')} failed; see {summary.path / 'failures.jsonl'}", file=sys.stderr)
        return 1
    return 0
