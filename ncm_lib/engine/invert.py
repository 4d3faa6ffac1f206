"""From real images to a pool of inversions, resumable batch by batch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import InputError
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..sources.listing import SourceListing
from ..sources.pool import HEAD, InversionPool, PoolHead, class_file, open_tensors
from ..store.disk import plain_errors, replace_bytes
from ..store.lock import FolderLock
from ..typing import Float32
from .conditioning import stack
from .fitted import fitted
from .generate import Progress
from .inversion import InversionSpacing, inverse_scheduler, invert_latents, psnr, reconstruct_latents
from .load import Model


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """What one call of ``invert`` did, and how well the whole pool comes back."""

    path: Path
    made: int
    skipped: int
    """Images that were inverted before."""
    psnr: float | None
    """Median over the pool, in dB, of (invert, denoise without guidance) against the image; None if not measured."""
    psnr_autoencoder: float | None
    """The same for encoding and decoding alone: the ceiling."""


def invert(
    model: Model,
    images: SourceListing,
    *,
    out: str | Path,
    num_inference_steps: int = 50,
    timestep_spacing: InversionSpacing = "trailing",
    prompt: str = DEFAULT_TEMPLATE,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    measure: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Inverted:
    """Invert real images into a pool that Diff-II starts from, or those that are missing from it.

    Every image is brought to the model's size (shorter side, then the centre), encoded to the mean of its latent, and
    walked to noise by DDIM under its class prompt, without guidance. The pool is keyed by the images' content, so
    renamed or moved files are not inverted again.

    Args:
        model: of ``load_model``.
        images: of ``load_source``.
        out: folder of the pool; created, or continued where it was made with the same model and settings.
        num_inference_steps: more steps invert more exactly, time grows in proportion. 200 in the published code.
        timestep_spacing: "trailing" meets the grid that ``DiffII`` denoises on; "leading" is the published code's.
        prompt: the template that ``DiffII`` will use as well.
        height: image height in pixels; None is the model's own.
        width: image width in pixels.
        batch_size: images per model call.
        measure: also denoise every inversion and keep its PSNR; doubles the time.
        on_progress: called from this thread after every step and every finished batch.

    Returns:
        Counts, and the medians of what was measured.

    Raises:
        InputError: bad arguments, another pool in ``out``, a model that is not inverted, or an unreadable image.
    """
    try:
        inverse_scheduler(model.family.scheduler, timestep_spacing)
    except InputError as error:
        raise InputError(f"The model {model.name} ({type(model.family).__name__}) is not inverted. {error}") from error
    size = _size(model, height, width)
    if num_inference_steps < 1 or batch_size < 1:
        raise InputError(
            f"num_inference_steps is {num_inference_steps} and batch_size is {batch_size}; both must be at least 1."
        )
    folder = Path(out)
    head = PoolHead(
        classes=images.classes.names,
        meta_class=images.classes.meta_class,
        tokens=images.classes.tokens,
        prompt=prompt,
        model_fingerprint=model.fingerprint,
        num_inference_steps=num_inference_steps,
        timestep_spacing=timestep_spacing,
        height=size[0],
        width=size[1],
        dtype=str(model.dtype).removeprefix("torch."),
    )
    prompts = class_prompts(images.classes, prompt)
    with torch.inference_mode():
        # one that is too long is told before anything is made
        for text in prompts:
            model.family.encode([text])
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    lock.acquire()
    try:
        _settle(folder, head)
        skipped = sum(len(_names(folder, row).intersection(images.hashes_of(row))) for row in range(len(prompts)))
        line = _Line(count=len(images), skipped=skipped, on_progress=on_progress)
        for class_id, text in enumerate(prompts):
            wanted = images.hashes_of(class_id)
            latents, metrics = _there(folder, class_id)
            missing = [content for content in wanted if content not in latents]
            for start in range(0, len(missing), batch_size):
                part = missing[start : start + batch_size]
                pixels = torch.stack([fitted(images.read(content), size) for content in part])
                inverted, quality = _invert_batch(model, pixels, text, head, measure=measure, on_share=line.tell)
                _refuse_broken(model, part, inverted)
                for row, content in enumerate(part):
                    latents[content] = inverted[row]
                    metrics |= {content: quality[row]} if quality else {}
                _write_part(folder, class_id, {content: latents[content] for content in part}, metrics, part)
                line.made += len(part)
                line.tell(0.0)
            # the pool is what the source has now: an image that was taken out of it is not planned with again
            kept = {content: latents[content] for content in wanted}
            _merge(folder, class_id, kept, {content: metrics[content] for content in wanted if content in metrics})
    finally:
        lock.release()
    measured = list(InversionPool(folder).metrics().values())
    return Inverted(
        path=folder,
        made=line.made,
        skipped=skipped,
        psnr=_median([entry["psnr"] for entry in measured]),
        psnr_autoencoder=_median([entry["psnr_autoencoder"] for entry in measured]),
    )


@dataclass(kw_only=True)
class _Line:
    """Where the run is, told to whoever watches."""

    count: int
    skipped: int
    on_progress: Callable[[Progress], None] | None
    made: int = 0
    started: float = field(default_factory=time.monotonic)

    def tell(self, images: float) -> None:
        """Tell of so many images' worth of work beside the finished ones."""
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    done=self.skipped + self.made,
                    count=self.count,
                    made=self.made,
                    seconds=time.monotonic() - self.started,
                    fraction=min((self.made + images) / max(self.count - self.skipped, 1), 1.0),
                )
            )


def _size(model: Model, height: int | None, width: int | None) -> tuple[int, int]:
    cell, own = model.family.latent_cell, model.family.default_size
    for name, side in (("height", height or own), ("width", width or own)):
        if side % cell:
            raise InputError(f"The image {name} is {side}; this model takes multiples of {cell}.")
    return height or own, width or own


def _settle(folder: Path, head: PoolHead) -> None:
    """Go on with the pool that is there if it is of the same model and settings, or begin one."""
    if not (folder / HEAD).is_file():
        found = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        if found:
            raise InputError(f"{folder} is neither empty nor a pool of inversions (it holds {found[0]}); take another.")
        with plain_errors(folder):
            replace_bytes(folder / HEAD, f"{json.dumps(head.model_dump(mode='json'), indent=2)}\n".encode("ascii"))
        return
    there = PoolHead.read(folder).model_dump(mode="json")
    differs = [
        f"  {key}: the pool has {json.dumps(there[key])[:200]}, this run has {json.dumps(value)[:200]}"
        for key, value in head.model_dump(mode="json").items()
        if there[key] != value
    ]
    if differs:
        listed = "\n".join(differs)
        raise InputError(f"{folder} is another pool:\n{listed}\nTake a new folder; nothing was changed here.")


def _refuse_broken(model: Model, contents: Sequence[str], inverted: Float32[Tensor, "n c h w"]) -> None:
    for content, row in zip(contents, inverted, strict=True):
        if not bool(torch.isfinite(row).all()):
            raise InputError(
                f"The inversion of the image {content[:16]}... gave NaN or infinite values in {model.dtype}: take "
                "--dtype fp32 or bf16 and a new folder. What was inverted before stays."
            )


@torch.inference_mode()
def _invert_batch(
    model: Model,
    pixels: Float32[Tensor, "n 3 height width"],
    prompt: str,
    head: PoolHead,
    *,
    measure: bool,
    on_share: Callable[[float], None],
) -> tuple[Tensor, list[dict[str, float]]]:
    family, steps, spacing = model.family, head.num_inference_steps, head.timestep_spacing
    images_per_step = len(pixels) / (steps * (1 + measure))
    conditioning = stack([*family.encode([prompt])] * len(pixels))
    latents = family.encode_images(pixels)
    inverted = invert_latents(
        family,
        latents,
        conditioning,
        num_inference_steps=steps,
        spacing=spacing,
        on_step=lambda step: on_share(step * images_per_step),
    )
    if not measure:
        return inverted.cpu(), []
    again = reconstruct_latents(
        family,
        inverted,
        conditioning,
        num_inference_steps=steps,
        spacing=spacing,
        on_step=lambda step: on_share((steps + step) * images_per_step),
    )
    both = psnr(pixels, family.decode(again).cpu()), psnr(pixels, family.decode(latents).cpu())
    return inverted.cpu(), [{"psnr": one, "psnr_autoencoder": other} for one, other in zip(*both, strict=True)]


def _parts(folder: Path, class_id: int) -> Iterator[Path]:
    yield from sorted(folder.glob(f"part-{class_id:05d}-*.safetensors"))


def _there(folder: Path, class_id: int) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
    """What earlier runs left of a class: its file, or the parts of a run that was cut short."""
    latents: dict[str, Tensor] = {}
    metrics: dict[str, dict[str, float]] = {}
    for file in (folder / class_file(class_id), *_parts(folder, class_id)):
        if file.is_file():
            try:
                latents |= load_file(file)
                metrics |= _metrics_of(file)
            except Exception as error:  # a file that was cut off raises what it likes; it is made again
                raise InputError(f"{file} is damaged ({error}). Delete it and run the same command again.") from error
    return latents, metrics


def _names(folder: Path, class_id: int) -> set[str]:
    """Content hashes of what is there of a class."""
    names: set[str] = set()
    for file in (folder / class_file(class_id), *_parts(folder, class_id)):
        if file.is_file():
            with open_tensors(file) as handle:
                names.update(handle.keys())
    return names


def _metrics_of(file: Path) -> dict[str, dict[str, float]]:
    with open_tensors(file) as handle:
        return json.loads((handle.metadata() or {}).get("metrics", "{}"))


def _write_part(
    folder: Path, class_id: int, latents: dict[str, Tensor], metrics: dict[str, dict[str, float]], part: list[str]
) -> None:
    own = {content: metrics[content] for content in part if content in metrics}
    _write(folder / f"part-{class_id:05d}-{part[0][:16]}.safetensors", latents, own)


def _merge(folder: Path, class_id: int, latents: dict[str, Tensor], metrics: dict[str, dict[str, float]]) -> None:
    """One file per class, then the parts go."""
    parts = list(_parts(folder, class_id))
    file = folder / class_file(class_id)
    if parts or not file.is_file() or set(load_file(file)) != set(latents):
        _write(file, latents, metrics)
    for part in parts:
        part.unlink()


def _write(file: Path, latents: dict[str, Tensor], metrics: dict[str, dict[str, float]]) -> None:
    ordered = {content: latents[content].contiguous() for content in sorted(latents)}
    data = save(ordered, {"metrics": json.dumps(metrics, sort_keys=True)})
    with plain_errors(file):
        replace_bytes(file, data)


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
