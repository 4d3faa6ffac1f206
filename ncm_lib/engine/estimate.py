"""What a run will cost: counted operations, and a probe of one batch on the device that it will run on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..errors import InputError
from ..methods.base import Method
from ..plan.planes import mask_planes
from ..plan.sample import FullMask, NoisedImage, PlanTable, Sample
from ..store.images import Picture, encode_image, encode_mask, mask_sha256
from ..store.layout import mask_name
from ..store.manifest import Manifest
from ..store.record import Record
from .conditioning import stack
from .denoise import early_steps
from .families import Family
from .load import Model
from .memory import is_out_of_memory, release_memory
from .probe import at_full_strength
from .render import Renderer
from .schedulers import make_scheduler
from .settings import RenderSettings, ResolvedSettings
from .starts import Inversion, RealImage, start_step

_PROBE_STEPS = 2
_SURVEYED = 10_000
# SDPA kernels that torch's own table does not have
_MORE_KERNELS = ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math_for_mps")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one image costs, as the sum of what was counted and measured."""

    calls: float | int
    """Model calls that an image goes through, one per step with most schedulers; on average, where that differs."""
    rows_per_call: float | int
    """Rows of an image in a model call: one per condition, and one more for guidance; on average, where a part of the
    steps alone is guided."""
    computed: float | int
    """Share of those rows' operations that a cache (``Speed.cache``) leaves; 1 without one."""
    row_flops: int
    """Floating-point operations of the denoiser for one row, 2 per multiply-add."""
    decode_flops: int
    """The same for decoding one image."""
    encode_flops: int
    """The same for encoding the real image that one starts from; 0 where it starts from none."""
    batch_shape: int
    """The batch that fitted into memory."""
    seconds_per_batch: float
    """Encoding of real images, all model calls, decoding, encoding of files."""
    bytes_per_image: float | None
    """Image, mask, record and label; None where the probe's images were NaN or of one colour."""

    @property
    def flops(self) -> int:
        """Floating-point operations per image."""
        rows = round(self.calls * self.rows_per_call * self.computed * self.row_flops)
        return rows + self.decode_flops + self.encode_flops

    def seconds(self, images: int) -> float:
        """For so many images, in whole batches."""
        return -(-images // self.batch_shape) * self.seconds_per_batch


def estimate(
    method: Method,
    manifest: Manifest,
    model: Model,
    settings: RenderSettings,
    *,
    save_masks: bool = True,
    inversion: Inversion | None = None,
    real_image: RealImage | None = None,
) -> Estimate:
    """Estimate the cost of a run by trying a little of it; nothing is written.

    Operations are counted by torch over the real modules, for one row of the denoiser and the decoding of one image:
    matrix products, convolutions and attention, 2 per multiply-add. Time is measured on the first batch of the plan:
    two whole steps, of which the first warms up, then decoding and encoding; steps without guidance and those that a
    cache shortens count in proportion to their operations. A run overlaps the two last with denoising and also loads,
    encodes prompts and waits for the disk, so it may take a little less or more. Sizes are those of the probe's images,
    whose two steps leave more noise, so larger files, than finished ones have.

    Args:
        method: resolved.
        manifest: of the run: batch shape and image format.
        model: of ``load_model``.
        settings: of the run.
        save_masks: count each sample's mask.
        inversion: for methods that start from inverted images.
        real_image: for methods that start from real images.

    Returns:
        The cost of one image, in its parts.

    Raises:
        InputError: a single sample does not fit into memory.

    Example:
        >>> from ncm_lib import NoiseCutMix, load_model
        >>> from ncm_lib.engine.generate import settled
        >>> from pathlib import Path
        >>> model = load_model("demo", device="cpu")
        >>> settings = RenderSettings(num_inference_steps=10)
        >>> method, manifest = settled(
        ...     NoiseCutMix(classes=model.classes), Renderer(model, settings),
        ...     out=Path("no-such-folder"), count=2, seed=0, batch_size=None, image_format="png",
        ... )
        >>> cost = estimate(method, manifest, model, settings)
        >>> cost.calls, cost.rows_per_call
        (10, 3.0)
    """
    whole = Renderer(
        model,
        settings,
        default_scheduler=method.default_scheduler,
        inversion=inversion,
        real_image=real_image,
    )
    renderer = whole.with_steps(_PROBE_STEPS)
    samples = [at_full_strength(sample) for sample in method.plan(0, manifest.batch_shape)]
    # the share of each strength is that of the plan's first samples
    table = method.plan(0, min(manifest.count, _SURVEYED))
    branches = len(samples[0].conditions)
    while True:
        try:
            row_flops, decode_flops = count_flops(model, renderer.latent_size, samples[0].conditions[0].prompt)
            calls, rows, computed = _amounts(whole, branches, table)
            encode_flops = _encode_flops(model, renderer) if table.images else 0
            seconds_to_start, seconds_per_call, seconds_to_decode, images = _probe(renderer, samples)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(samples) == 1:
                raise InputError(
                    f"A single sample of {renderer.settings.width} x {renderer.settings.height} pixels does not fit "
                    f"into the memory of {model.device}: {error}. Take smaller images, a smaller dtype (--dtype fp16), "
                    "or a device with more memory."
                ) from error
        release_memory()
        samples = samples[: len(samples) // 2]
    started = time.perf_counter()
    sizes = _sizes(samples, images, manifest, latent_size=renderer.latent_size, save_masks=save_masks)
    seconds_to_encode = time.perf_counter() - started
    # the probe's calls are whole
    seconds_to_denoise = rows * computed / (branches + renderer.guided) * seconds_per_call
    return Estimate(
        calls=calls,
        rows_per_call=rows / calls,
        computed=computed,
        row_flops=row_flops,
        decode_flops=decode_flops,
        encode_flops=encode_flops,
        batch_shape=len(samples),
        seconds_per_batch=seconds_to_start + seconds_to_denoise + seconds_to_decode + seconds_to_encode,
        bytes_per_image=fmean(sizes) if sizes else None,
    )


def count_flops(model: Model, latent_size: tuple[int, int], prompt: str = "") -> tuple[int, int]:
    """Count the floating-point operations of one denoiser row, and of decoding one image.

    Args:
        model: its real modules run once each.
        latent_size: height and width of a latent, in cells.
        prompt: any that the model takes; all prompts are of one length to it.

    Returns:
        Operations per row and per decoding, 2 per multiply-add, of matrix products, convolutions and attention. SD 1.5
        at 512 px: 0.803e12 and 2.515e12.
    """
    family = model.family
    latent = torch.zeros(1, family.latent_channels, *latent_size, device=model.device)
    (row,) = _row_flops(model, latent_size, calls=1, prompt=prompt)
    return row, _counted(lambda: family.decode(latent))


def _row_flops(model: Model, latent_size: tuple[int, int], *, calls: int, prompt: str = "") -> list[int]:
    """Operations of one row in each of the first calls of a run."""
    family = model.family
    latent = torch.zeros(1, family.latent_channels, *latent_size, device=model.device)
    with torch.no_grad():
        conditioning = stack(family.encode([prompt]))
    timestep = torch.tensor(500, device=model.device)
    family.forget()
    counts = [_counted(lambda: family.predict(latent, timestep, conditioning)) for _ in range(calls)]
    family.forget()
    return counts


def _counted(call: Callable[[], Tensor]) -> int:
    kernels = [getattr(torch.ops.aten, name) for name in _MORE_KERNELS if hasattr(torch.ops.aten, name)]
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=dict.fromkeys(kernels, _attention)) as counter:
        call()
    return int(counter.get_total_flops())


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Shapes in, operations out: 2 per multiply-add of query times keys, and of the weights times values."""
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[-2] * (width + value[-1])


def _encode_flops(model: Model, renderer: Renderer) -> int:
    pixels = torch.zeros(1, 3, renderer.settings.height, renderer.settings.width)
    return _counted(lambda: model.family.encode_images(pixels))


def _amounts(renderer: Renderer, branches: int, table: PlanTable) -> tuple[float | int, float | int, float]:
    """Model calls of an image, its rows in all of them, and the share of those that is computed; means over a plan."""
    model, settings = renderer.model, renderer.settings
    total, order = _timesteps(model.family, settings)
    shares = [1.0] * total
    if model.speed.cache != "off":
        counts = _row_flops(model, renderer.latent_size, calls=total)
        shares = [count / counts[0] for count in counts]
    guided = [early_steps(share, total) for share in settings.guidance_interval]
    changes = set(guided)
    if table.early is not None:
        changes.add(order * early_steps(table.early.fraction, settings.num_inference_steps))

    def of(first: int) -> tuple[int, int, float]:
        rows, done, since = 0, 0.0, 0
        for step in range(first, total):
            # as in the loop: what is kept of earlier steps goes when the rows change
            since = 0 if step == first or step in changes else since + 1
            now = branches + (renderer.guided and guided[0] <= step < guided[1])
            rows, done = rows + now, done + now * shares[since]
        return total - first, rows, done

    if table.images is None:
        calls, rows, done = of(0)
        return calls, rows, done / rows
    strengths = [NoisedImage(source="", strength=strength) for strength in table.images.strengths]
    each = [of(order * (start_step(start, settings.num_inference_steps) or 0)) for start in strengths]
    drawn = [each[row] for row in table.images.strength_ids.tolist()]
    calls, rows, done = (fmean(column) for column in zip(*drawn, strict=True))
    return calls, rows, done / rows


def _timesteps(family: Family, settings: ResolvedSettings) -> tuple[int, int]:
    """The model calls of a whole run, and how many a step takes: second-order schedulers call the model twice."""
    scheduler = make_scheduler(
        family.scheduler, settings.scheduler, spacing=settings.timestep_spacing, final_sigma=settings.final_sigma
    )
    height, width = (side // family.latent_cell for side in (settings.height, settings.width))
    family.set_timesteps(scheduler, settings.num_inference_steps, height, width)
    return len(scheduler.timesteps), scheduler.order


def _probe(renderer: Renderer, samples: Sequence[Sample]) -> tuple[float, float, float, list[Picture | None]]:
    """Seconds of one batch's reading and encoding of real images, a model call and its decoding; and its images."""
    device = renderer.model.device
    times: list[float] = []

    def on_step(_: int) -> None:
        times.append(_now(device))

    latents = renderer.latents(samples, on_step)
    begun = _now(device)
    renderer.source_latents(samples)
    started = _now(device)
    if device.type != "cpu":
        renderer.images(latents)  # the first call of a kind sets a GPU up for it
    before = _now(device)
    images = renderer.images(latents)
    # the first call sets up, too
    return started - begun, (times[-1] - times[0]) / (len(times) - 1), _now(device) - before, [*images]


def _now(device: torch.device) -> float:
    """The clock, when the device has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _sizes(
    samples: Sequence[Sample],
    images: Sequence[Picture | None],
    manifest: Manifest,
    *,
    latent_size: tuple[int, int],
    save_masks: bool,
) -> list[int]:
    """Bytes on the disk of each sample that has an image."""
    sizes: list[int] = []
    for sample, image in zip(samples, images, strict=True):
        if image is None:
            continue
        record = Record.from_sample(sample, method=manifest.method, plan_hash=manifest.plan_hash, renderer="ncm_lib")
        size = 0
        if save_masks and not isinstance(sample.mask, FullMask):
            mask = mask_planes(sample.mask, *latent_size)[0].numpy()
            record = replace(record, mask_file_name=mask_name(sample.index), mask_sha256=mask_sha256(mask))
            size += len(encode_mask(mask))
        size += len(encode_image(image, record, manifest.image_format))
        # the record is a line of the running log and of the merged index; labels are float32
        sizes.append(size + 2 * len(record.to_json()) + 4 * len(manifest.classes))
    return sizes
