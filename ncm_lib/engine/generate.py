"""From a plan to a data set on disk: make what is missing, in fixed batches, while earlier batches are written."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..methods.base import Method
from ..plan.planes import mask_planes
from ..plan.sample import Sample
from ..store.manifest import Manifest
from ..store.record import Record
from ..store.writer import DatasetWriter
from .load import Model
from .render import Renderer
from .settings import RenderSettings, render_hash

DEFAULT_BATCH = 8


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
    batch_size: int | None = None,
    settings: RenderSettings | None = None,
    image_format: Literal["png", "webp", "jpeg"] = "png",
    save_masks: bool = True,
    break_lock: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Make the samples 0..count-1 of a plan as a soft-labelled data set (format ncm-1), or those that are missing.

    Args:
        method: what to make, such as ``NoiseCutMix(classes=...)``.
        model: of ``load_model``.
        out: folder of the data set; created, or continued where it holds the same plan and settings.
        count: target size, at least 1. A larger count than before extends the data set; a smaller one is refused.
        seed: of the whole data set. Sample i depends on the seed and on i alone.
        batch_size: samples per model call, 8 where it is None. It is fixed when the data set is created, since
            another batch shape may change an image's last bits: later runs keep it, and note where another was asked.
        settings: steps, guidance, scheduler, size; None takes the defaults.
        image_format: png, lossless webp, or jpeg.
        save_masks: also write each sample's mask.
        break_lock: take the folder over from a holder that is known to be dead.
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
    if count < 1 or (batch_size is not None and batch_size < 1):
        raise InputError(f"count is {count} and batch_size is {batch_size}; both must be at least 1.")
    renderer = Renderer(model, settings or RenderSettings())
    height, width = renderer.latent_size
    method = method.resolved(seed=seed, latent_height=height, latent_width=width, latent_cell=model.family.latent_cell)
    existing = Manifest.read(Path(out)) if (Path(out) / "dataset.json").is_file() else None
    asked = min(batch_size or DEFAULT_BATCH, count)
    batch_shape = existing.batch_shape if existing else asked
    renderer.learn_prompts(method.plan(0, 1).prompts)
    manifest = _manifest(method, renderer, count=count, batch_shape=batch_shape, image_format=image_format)
    started = time.monotonic()
    with DatasetWriter(Path(out), manifest, break_lock=break_lock) as writer:
        todo = writer.missing(0, count)
        tally = _Tally(count=count, todo=len(todo), started=started, report=on_progress)
        _run(method, renderer, writer, todo, batch_shape, tally, save_masks=save_masks)
    return Summary(
        path=Path(out),
        count=count,
        made=tally.made,
        skipped=count - len(todo),
        failed=tally.failed,
        seconds=time.monotonic() - started,
        notes=(*writer.notes, *_batch_note(batch_size, batch_shape, count)),
    )


def _batch_note(batch_size: int | None, batch_shape: int, count: int) -> list[str]:
    if batch_size is None or min(batch_size, count) == batch_shape:
        return []
    return [
        f"the data set was created with batches of {batch_shape}; they stay, and batch_size {batch_size} is not used"
    ]


@dataclass(kw_only=True)
class _Tally:
    """Counts of a running run, and who wants to know."""

    count: int
    todo: int
    started: float
    report: Callable[[Progress], None] | None
    made: int = 0
    failed: int = 0
    denoised: float = 0.0

    def tell(self) -> None:
        if self.report is not None:
            done = self.count - self.todo + self.made
            self.report(
                Progress(
                    done=done,
                    count=self.count,
                    made=self.made,
                    seconds=time.monotonic() - self.started,
                    fraction=min(self.denoised / self.todo, 1.0),
                )
            )


def _run(
    method: Method,
    renderer: Renderer,
    writer: DatasetWriter,
    todo: Sequence[int],
    batch_shape: int,
    tally: _Tally,
    *,
    save_masks: bool,
) -> None:
    """Denoise batch after batch on this thread; one helper thread decodes and writes the batch before."""
    steps = renderer.settings.num_inference_steps
    plan_hash = method.plan_hash()

    def finish(samples: list[Sample], latents: Tensor) -> tuple[int, int]:
        images = renderer.images(latents)
        kept = [(sample, image) for sample, image in zip(samples, images, strict=True) if image is not None]
        masks = [_mask_image(sample, renderer.latent_size) if save_masks else None for sample, _ in kept]
        writer.write_batch(
            [
                (Record.from_sample(sample, method=method.name, plan_hash=plan_hash, renderer="ncm_lib"), image, mask)
                for (sample, image), mask in zip(kept, masks, strict=True)
            ]
        )
        for sample, image in zip(samples, images, strict=True):
            if image is None:
                writer.fail(sample.index, "the image is NaN, infinite or constant", [sample.seed])
        return len(kept), len(samples) - len(kept)

    def collect(finished: Future[tuple[int, int]]) -> None:
        made, failed = finished.result()
        tally.made += made
        tally.failed += failed
        tally.tell()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ncm-write") as pool:
        pending: Future[tuple[int, int]] | None = None
        for start in range(0, len(todo), batch_shape):
            wanted = [method.plan_one(index) for index in todo[start : start + batch_shape]]
            # the last batch is filled up by repeating rows: a row's bits depend on the batch's shape, not on its rows
            padded = [wanted[row % len(wanted)] for row in range(batch_shape)]

            def on_step(step: int, start: int = start, size: int = len(wanted)) -> None:
                tally.denoised = start + size * step / steps
                tally.tell()

            latents = renderer.latents(padded, on_step)[: len(wanted)]
            if pending is not None:
                collect(pending)
            pending = pool.submit(finish, wanted, latents)
        if pending is not None:
            collect(pending)


def _mask_image(sample: Sample, latent_size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The share of condition 0 (class A) per latent cell, float32 in [0, 1]."""
    return mask_planes(sample.mask, *latent_size)[0].numpy()


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
