"""``ncm generate METHOD --dry-run``: what a run would make, and what that would cost."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.denoise import early_steps
from ..engine.estimate import Estimate, estimate
from ..engine.generate import settled
from ..engine.load import Model
from ..engine.render import Renderer
from ..engine.settings import RenderSettings
from ..engine.shards import Shard
from ..engine.starts import Inversion
from ..errors import InputError
from ..maths.resize import area_resize
from ..methods import Method
from ..plan.classes import ClassList
from ..plan.planes import mask_planes
from ..plan.sample import FullMask, PlanTable, Sample
from ..plan.summary import QUANTILES, PlanSummary, summarise
from ..sources.listing import SourceListing
from ..store.disk import is_temp, plain_errors
from ..store.layout import MANIFEST
from ..store.ledger import Ledger
from ..store.manifest import Manifest, continued
from ..wording import counted
from .amounts import duration, si
from .generate import Run

_SUMMARISED = 1_000_000
_SHOWN = 5
_COLUMNS = 14
_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", "lost+found"}


def dry_run(
    method: Method,
    model: Model,
    run: Run,
    count: int,
    render: RenderSettings,
    shard: Shard,
    inversion: Inversion | None = None,
    images: SourceListing | None = None,
) -> int:
    """Print the plan and the estimate of its cost; nothing is written. The exit code.

    Raises:
        InputError: what the run itself would refuse.
    """
    real_image = None if images is None else images.read
    renderer = Renderer(
        model, render, default_scheduler=method.default_scheduler, inversion=inversion, real_image=real_image
    )
    method, manifest = settled(
        method,
        renderer,
        out=run.out,
        count=count,
        seed=run.seed,
        batch_size=run.batch_size,
        image_format=run.image_format,
    )
    missing = _missing(run.out, manifest)
    own = sum(shard.owns(index, batch_shape=manifest.batch_shape) for index in missing)
    table = method.plan(0, min(count, _SUMMARISED))
    places = ("class A", "class B") if table.images is None else ("image of", "made into")
    plan = [
        *_plan(manifest, summarise(table, len(method.classes)), places),
        *_stages(table, render.num_inference_steps),
        "",
    ]
    _show(["dry run: nothing is written", "", *_data_set(manifest, run.out, len(missing)), *plan])
    _show(_samples(list(method.plan(0, min(count, _SHOWN))), method.classes, renderer.latent_size))
    if shard.count > 1:
        _show([_row("shard", f"{shard}: {own} of the missing samples are its own")])
    if own:
        print("trying one batch ...", file=sys.stderr)
        starts = {"inversion": inversion, "real_image": real_image}
        cost = estimate(method, manifest, model, render, save_masks=run.save_masks, **starts)
        _show(_cost(cost, manifest, f"{model.device} in {renderer.settings.dtype}", own, run.out))
    return 0


def _data_set(manifest: Manifest, out: Path, missing: int) -> list[str]:
    there = f"{counted(manifest.count - missing, 'sample')} there, {missing} missing"
    state = there if (out / MANIFEST).is_file() else "new"
    samples = f"{manifest.count} of {manifest.method}, seed {manifest.seed}, plan {manifest.plan_hash[:12]}"
    return [_row("data set", f"{out}: {state}"), _row("samples", samples)]


def _plan(manifest: Manifest, summary: PlanSummary, places: tuple[str, str]) -> list[str]:
    lines = [_row("classes", str(len(manifest.classes)))]
    if summary.samples < manifest.count:
        lines.append(_row("", f"counted in the first {summary.samples} samples:"))
    mixes = len(summary.places) > 1
    for name, counts in zip(places if mixes else ("class",), summary.places, strict=True):
        least, most = int(counts.min()), int(counts.max())
        lines.append(_row(name, f"{least} to {most} samples per class, median {float(np.median(counts)):g}"))
    if mixes:
        quantiles = zip(QUANTILES, summary.quantiles, strict=True)
        listed = ", ".join(f"{value:.2f} ({share:.0%})" for share, value in quantiles)
        lines.append(
            _row(
                "weight of A" if places[0] == "class A" else "its weight",
                f"mean {summary.mean:.3f}, quantiles {listed}",
            )
        )
        for low, share in enumerate(map(float, summary.histogram)):
            bar = "#" * round(40 * share)
            lines.append(_row("", f"{low / 10:.1f} to {(low + 1) / 10:.1f} {share:6.1%} {bar}").rstrip())
    return lines


def _stages(table: PlanTable, steps: int) -> list[str]:
    """Where samples start, and what their first steps have, if not noise and the prompt."""
    lines: list[str] = []
    if table.circles is not None:
        noise = int((table.circles.pairs[:, 0] < 0).sum())
        text = f"{len(table) - noise} between two inverted images"
        lines.append(_row("starts", text + (f", {noise} from noise (classes with one image)" if noise else "")))
    if table.images is not None:
        drawn = np.bincount(table.images.strength_ids, minlength=len(table.images.strengths)) / len(table)
        shares = zip(table.images.strengths, drawn.tolist(), strict=True)
        listed = ", ".join(f"{strength:g} ({share:.0%})" for strength, share in shares)
        used = len(np.unique(table.images.source_ids))
        lines.append(_row("starts", f"{used} real images, at the strengths {listed}"))
    if table.early is not None:
        suffixes = len(table.early.prompts) // len(table.prompts)
        lines.append(
            _row("suffixes", f"{suffixes}, in the first {early_steps(table.early.fraction, steps)} of {steps} steps")
        )
    return lines


def _samples(samples: Sequence[Sample], classes: ClassList, latent_size: tuple[int, int]) -> list[str]:
    """The first samples, and their masks."""
    lines = ["first samples"]
    for sample in samples:
        shares = " + ".join(f"{share.weight:.3f} {classes.names[share.class_id]}" for share in sample.label)
        lines.append(f"  {sample.index}  {shares}")
    if all(isinstance(sample.mask, FullMask) for sample in samples):
        return [*lines, ""]
    masks = [_mask(sample, latent_size) for sample in samples]
    lines.append("their masks (# class A, . class B)")
    return [*lines, *("  " + "  ".join(row) for row in zip(*masks, strict=True)), ""]


def _mask(sample: Sample, latent_size: tuple[int, int]) -> list[str]:
    height, width = latent_size
    # a character is about twice as high as it is wide
    rows = min(max(round(_COLUMNS * height / width / 2), 1), _COLUMNS)
    shares = area_resize(mask_planes(sample.mask, height, width)[None, :1], rows, _COLUMNS)[0, 0]
    return ["".join("#" if share >= 0.5 else "." for share in row) for row in shares.tolist()]


def _cost(cost: Estimate, manifest: Manifest, device: str, images: int, out: Path) -> list[str]:
    """The estimate, for one image and for all that are missing."""
    rows = f"{cost.calls:g} x {cost.rows_per_call:.4g} rows of {si(cost.row_flops, 'FLOP')}"
    if cost.computed < 1:
        rows = f"{cost.computed:.0%} of {rows} (the cache leaves out the rest)"
    single, whole = duration(cost.seconds_per_batch / cost.batch_shape), duration(cost.seconds(images))
    coding = f"decoding {si(cost.decode_flops, 'FLOP')}"
    if cost.encode_flops:
        coding = f"encoding {si(cost.encode_flops, 'FLOP')}, {coding}"
    lines = [
        _row("computation", f"{si(cost.flops, 'FLOP')} per image: {rows}, {coding}"),
        _row("time", f"{single} per image, {whole} for {images}; on {device}, in batches of {cost.batch_shape}"),
    ]
    if cost.batch_shape < manifest.batch_shape:
        lines.append(
            _row("", f"batches of {manifest.batch_shape} do not fit into memory; the run will halve them, too")
        )
    if cost.bytes_per_image is None:
        lines.append(_row("disk", "unknown: the images that were tried are NaN or of one colour"))
    else:
        needed, free = cost.bytes_per_image * images, shutil.disk_usage(_nearest_folder(out)).free
        sizes = f"{si(cost.bytes_per_image, 'B')} per image, {si(needed, 'B')} for {images}"
        lines.append(_row("disk", f"{sizes}; {si(free, 'B')} are free" + (": TOO FEW" if needed > free else "")))
    return [*lines, _row("", "time and disk: estimated from one batch of two steps, which are noisier than the images")]


def _missing(out: Path, manifest: Manifest) -> list[int]:
    """The samples that a run would make in ``out``; InputError where it would refuse to."""
    if not (out / MANIFEST).is_file():
        _refuse_foreign(out)
        return list(range(manifest.count))
    whole = continued(out, Manifest.read(out), manifest)
    return np.flatnonzero(~Ledger.read(out, whole).done).tolist()


def _refuse_foreign(out: Path) -> None:
    """InputError where ``out`` is a file, or a folder that holds other things than a data set."""
    with plain_errors(out):
        names = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    # what systems leave in folders, and what a run leaves that was killed before it wrote anything
    foreign = [name for name in names if not (name in _SYSTEM or is_temp(name) or name.startswith(".ncm-"))]
    if foreign:
        raise InputError(
            f"{out} is neither empty nor a data set (no {MANIFEST}; it holds {', '.join(foreign[:5])}). "
            "Take a new folder; nothing was changed here."
        )


def _nearest_folder(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _row(name: str, text: str) -> str:
    return f"{name:<13}{text}"


def _show(lines: Sequence[str]) -> None:
    # a name that the terminal has no letters for is no reason to fail
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))
