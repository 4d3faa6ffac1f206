"""From a plan to a data set on disk: make what is missing, in fixed batches, while earlier batches are written."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..methods.base import Method
from ..sources.listing import SourceListing
from ..store.layout import MANIFEST
from ..store.manifest import Manifest
from ..store.writer import DatasetWriter
from .load import Model
from .probe import fitting_batch
from .production import Production
from .render import Renderer
from .settings import RenderSettings, render_hash
from .shards import Shard
from .starts import Inversion
from .stats import Stats

DEFAULT_BATCH = 8
_LONGEST = 16


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is: handed to ``on_progress`` after every step and every written batch."""

    done: int
    """Images on disk, those of earlier runs included."""
    count: int
    made: int
    """Images written by this run."""
    seconds: float
    fraction: float
    """Share of this run's work that is finished, steps of the current batch included."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did."""

    path: Path
    count: int
    made: int
    skipped: int
    """Images that were there before."""
    failed: int
    seconds: float
    notes: tuple[str, ...]
    """What was found in the folder that is not as it should be, a line each."""


def generate(
    method: Method,
    model: Model,
    *,
    out: str | Path,
    count: int,
    seed: int = 0,
    batch_size: int | Literal["auto"] | None = None,
    settings: RenderSettings | None = None,
    image_format: Literal["png", "webp", "jpeg"] = "png",
    save_masks: bool = True,
    break_lock: bool = False,
    shard: Shard | None = None,
    inversion: Inversion | None = None,
    images: SourceListing | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Make the samples 0..count-1 of a plan as a soft-labelled data set (format ncm-1), or those that are missing.

    Args:
        method: what to make, such as ``NoiseCutMix(classes=...)``.
        model: of ``load_model``.
        out: folder of the data set; created, or continued where it holds the same plan and settings.
        count: target size, at least 1. A larger count than before extends the data set; a smaller one is refused.
        seed: of the whole data set. Sample i depends on the seed and on i alone.
        batch_size: samples per model call, 8 where it is None; "auto" tries what the device has memory for
            (``fitting_batch``). It is fixed when the data set is created, since another batch shape may change an
            image's last bits: later runs keep it, and note where another was asked.
        settings: steps, guidance, scheduler, size; None takes the defaults.
        image_format: png, lossless webp, or jpeg.
        save_masks: also write each sample's mask.
        break_lock: take the folder over from a holder that is known to be dead.
        shard: the part that this process makes, where several make the data set together; None is all of it.
        inversion: looks inverted images up by content hash (``InversionPool.latent``), for methods that start there.
        images: real images of ``load_source``, for methods that start from them.
        on_progress: called from this thread after every step.

    Returns:
        What was made, skipped and failed.

    Raises:
        InputError: bad arguments, another data set in ``out``, a locked folder, or a disk that does not take the files.

    Example:
        >>> import tempfile
        >>> from ncm_lib import NoiseCutMix, load_model
        >>> model = load_model("demo", device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = generate(NoiseCutMix(classes=model.classes), model, out=folder, count=2,
        ...                        settings=RenderSettings(num_inference_steps=2))
        >>> summary.made
        2
    """
    shard = shard or Shard()
    if shard.count > 1:
        refuse_probing(batch_size, Path(out), f"the {shard.count} shards")
    renderer = Renderer(
        model,
        settings or RenderSettings(),
        default_scheduler=method.default_scheduler,
        inversion=inversion,
        real_image=None if images is None else images.read,
    )
    method, manifest = settled(
        method, renderer, out=Path(out), count=count, seed=seed, batch_size=batch_size, image_format=image_format
    )
    batch_shape = manifest.batch_shape
    stats = Stats(shard=str(shard), device=str(model.device), dtype=renderer.settings.dtype, batch_shape=batch_shape)
    started = time.monotonic()
    writer = DatasetWriter(Path(out), manifest, rank=shard.index, break_lock=break_lock)
    with stats.timing("opening"):
        writer.__enter__()
    try:
        todo = [index for index in writer.missing(0, count) if shard.owns(index, batch_shape=batch_shape)]
        own = sum(shard.owns(index, batch_shape=batch_shape) for index in range(count)) if shard.count > 1 else count
        stats.skipped = own - len(todo)

        def tell(denoised: float) -> None:
            if on_progress is not None:
                on_progress(
                    Progress(
                        done=stats.skipped + stats.made,
                        count=own,
                        made=stats.made,
                        seconds=time.monotonic() - started,
                        fraction=min(denoised / max(len(todo), 1), 1.0),
                    )
                )

        production = Production(
            method, renderer, writer, batch_shape=batch_shape, save_masks=save_masks, stats=stats, tell=tell
        )
        production.make(todo)
        stats.ended = "done"
    except BaseException as error:
        stats.ended = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        raise
    finally:
        close_run(writer, stats, started)
    return Summary(
        path=Path(out),
        count=own,
        made=stats.made,
        skipped=stats.skipped,
        failed=stats.failed,
        seconds=stats.seconds,
        notes=run_notes(writer, stats, batch_size=batch_size),
    )


def settled(
    method: Method,
    renderer: Renderer,
    *,
    out: Path,
    count: int,
    seed: int,
    batch_size: int | Literal["auto"] | None,
    image_format: Literal["png", "webp", "jpeg"],
) -> tuple[Method, Manifest]:
    """What a run would make, the same in every process that is given the same: the resolved method and the head.

    Raises:
        InputError: bad numbers, or a prompt that the model does not take.
    """
    for name, value in (("count", count), ("batch_size", batch_size)):
        if isinstance(value, int) and value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1.")
    height, width = renderer.latent_size
    cell = renderer.model.family.latent_cell
    method = method.resolved(seed=seed, latent_height=height, latent_width=width, latent_cell=cell)
    existing = Manifest.read(out) if (out / MANIFEST).is_file() else None
    plan = method.plan(0, 1)
    # of the prompts with suffixes, which are many, the longest
    longest = sorted(plan.early.prompts, key=len)[-_LONGEST:] if plan.early else []
    renderer.learn_prompts([*plan.prompts, *longest])
    renderer.check_starts(plan)
    if existing is not None:
        batch_shape = existing.batch_shape
    elif batch_size == "auto":
        batch_shape = fitting_batch(renderer, method, count)
    else:
        batch_shape = min(batch_size or DEFAULT_BATCH, count)
    return method, _manifest(method, renderer, count=count, batch_shape=batch_shape, image_format=image_format)


def refuse_probing(batch_size: int | str | None, out: Path, processes: str) -> None:
    """InputError where several processes would each find a batch size of their own for a new data set."""
    if batch_size == "auto" and not (out / MANIFEST).is_file():
        raise InputError(
            f"batch_size is 'auto', and {processes} of a new data set need one size for all: give a number (--dry-run "
            "with --batch-size auto finds one on this machine)."
        )


def close_run(writer: DatasetWriter, stats: Stats, started: float) -> None:
    """Close the writer and keep the run's line, whatever ends the run: the error that does is the one to tell."""
    error = sys.exc_info()
    try:
        with stats.timing("closing"):
            writer.__exit__(*error)
    finally:
        stats.seconds = time.monotonic() - started
        with suppress(InputError):
            stats.append(writer.path)


def run_notes(writer: DatasetWriter, stats: Stats, *, batch_size: int | Literal["auto"] | None) -> tuple[str, ...]:
    """What the user should know of a run that has ended, a line each."""
    manifest = writer.manifest
    return (*writer.notes, *_batch_note(batch_size, manifest.batch_shape, manifest.count), *_memory_notes(stats))


def _batch_note(batch_size: int | Literal["auto"] | None, batch_shape: int, count: int) -> list[str]:
    if batch_size in (None, "auto") or min(batch_size, count) == batch_shape:
        return []
    return [
        f"the data set was created with batches of {batch_shape}; they stay, and batch_size {batch_size} is not used"
    ]


def _memory_notes(stats: Stats) -> list[str]:
    return [
        f"memory ran out: from sample {change['from_index']} on the batches were of {change['batch_shape']}; "
        "plan, noise, masks and labels are the same, the last bits of those images may differ"
        for change in stats.batch_changes
    ]


def _manifest(
    method: Method, renderer: Renderer, *, count: int, batch_shape: int, image_format: Literal["png", "webp", "jpeg"]
) -> Manifest:
    versions = {
        package: importlib.metadata.version(package) for package in ("torch", "diffusers", "transformers", "pillow")
    }
    fingerprint = renderer.model.fingerprint
    return Manifest(
        classes=method.classes.names,
        meta_class=method.classes.meta_class,
        method=method.name,
        config=method.config(),
        plan_hash=method.plan_hash(),
        render_hash=render_hash(renderer.settings, fingerprint=fingerprint, batch_shape=batch_shape, versions=versions),
        render=renderer.settings.model_dump(mode="json"),
        model_fingerprint=fingerprint,
        versions=versions,
        batch_shape=batch_shape,
        count=count,
        seed=method.seed,
        image_format=image_format,
    )
