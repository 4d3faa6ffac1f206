"""The production line of a run: denoise batch after batch, while the batch before is written, on a GPU also decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..methods.base import Method
from ..plan.planes import mask_planes
from ..plan.sample import FullMask, Sample
from ..store.record import Record
from ..store.writer import DatasetWriter
from .attempts import Attempt, WorkList
from .memory import is_out_of_memory, release_memory
from .render import Renderer
from .stats import Stats

Images = list[np.ndarray[Any, np.dtype[np.uint8]] | None]
"""One image [height, width, 3] per latent; None where it came out NaN, infinite or constant."""
BAD_IMAGE = "the image is NaN, infinite or of one colour"


class Production:
    """Makes samples of one plan with one renderer into one writer.

    A batch that does not fit into memory is halved for the rest of the run. An image that is NaN or of one colour is
    made again with other noise, up to ``RETRIES`` times, and never kept.

    Args:
        method: resolved.
        renderer: of the model.
        writer: open.
        batch_shape: rows of every batch; the last ones are filled up by repeating rows.
        save_masks: also write each sample's mask.
        stats: counted up.
        tell: called from this thread with the number of samples that are denoised, fractions by steps.
    """

    def __init__(
        self,
        method: Method,
        renderer: Renderer,
        writer: DatasetWriter,
        *,
        batch_shape: int,
        save_masks: bool,
        stats: Stats,
        tell: Callable[[float], None],
    ) -> None:
        self._method = method
        self._plan_hash = method.plan_hash()
        self._renderer = renderer
        self._writer = writer
        self._save_masks = save_masks
        self._stats = stats
        self._tell = tell
        # a batch is denoised from one step on
        self._work = WorkList(batch_shape, kind=renderer.start_step)

    def make(self, todo: Sequence[int]) -> None:
        """Make the samples ``todo``.

        Raises:
            InputError: a single sample does not fit into memory, or the disk does not take the files.
        """
        fresh = self._fresh(todo)
        finished = 0.0
        pending: Future[list[Attempt]] | None = None
        # one helper thread: the next batch denoises while this one is decoded, encoded and written; on a CPU decoding
        # has nothing to run beside, and takes longer in another thread (fresh memory, shared caches)
        on_cpu = self._renderer.model.device.type == "cpu"
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ncm-write") as pool:
            while True:
                batch = self._work.take(fresh)
                if not batch:
                    if pending is None:
                        break
                    self._work.put_back(pending.result())
                    pending = None
                    self._tell(finished)
                    continue
                latents = self._latents(batch, finished)
                if latents is None:
                    continue
                images = self._decoded(latents) if on_cpu else None
                if pending is not None:
                    self._work.put_back(pending.result())
                finished += sum(attempt.number == 0 for attempt in batch)
                pending = pool.submit(self._finish, batch, latents, images)
                self._tell(finished)

    def _fresh(self, todo: Sequence[int]) -> Iterator[Attempt]:
        return (Attempt(planned=self._method.plan_one(index)) for index in todo)

    def _latents(self, batch: list[Attempt], finished: float) -> Tensor | None:
        """The batch's latents, or None where it did not fit and was taken apart."""
        steps, shape = self._renderer.settings.num_inference_steps, self._work.batch_shape
        # filled up by repeating rows: a row's bits depend on the batch's shape, not on its rows
        rows = [batch[row % len(batch)].sample for row in range(shape)]

        def on_step(step: int) -> None:
            self._tell(finished + len(batch) * step / steps)

        try:
            with self._stats.timing("denoising"):
                return self._renderer.latents(rows, on_step)[: len(batch)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fits_not = error.with_traceback(None)
        release_memory()
        if not self._work.halve(batch):
            settings = self._renderer.settings
            raise InputError(
                f"A single sample of {settings.width} x {settings.height} pixels in {settings.dtype} does not fit into "
                f"the memory of {self._renderer.model.device}: {fits_not}. Take smaller images, a smaller dtype "
                "(--dtype fp16), or a device with more memory."
            ) from fits_not
        self._stats.batch_changes = self._work.changes
        return None

    def _decoded(self, latents: Tensor) -> Images:
        with self._stats.timing("decoding"):
            return self._renderer.images(latents)

    def _finish(self, batch: list[Attempt], latents: Tensor, images: Images | None) -> list[Attempt]:
        """Decode, where that is not done yet, and write; the attempts that are to be made again."""
        if images is None:
            images = self._decoded(latents)
        kept = [(attempt, image) for attempt, image in zip(batch, images, strict=True) if image is not None]
        with self._stats.timing("writing"):
            self._writer.write_batch([self._item(attempt.sample, image) for attempt, image in kept])
            for attempt, _ in kept:
                if attempt.number:
                    self._writer.fail(attempt.planned.index, BAD_IMAGE, attempt.seeds, kept=True)
        self._stats.made += len(kept)
        again: list[Attempt] = []
        for attempt in (attempt for attempt, image in zip(batch, images, strict=True) if image is None):
            if following := attempt.next():
                self._stats.retried += 1
                again.append(following)
            else:
                self._stats.failed += 1
                self._writer.fail(attempt.planned.index, BAD_IMAGE, attempt.seeds)
        return again

    def _item(self, sample: Sample, image: Any) -> tuple[Record, Any, np.ndarray[Any, np.dtype[np.float32]] | None]:
        record = Record.from_sample(sample, method=self._method.name, plan_hash=self._plan_hash, renderer="ncm_lib")
        # the share of condition 0 (class A) per latent cell; where one condition owns all there is nothing to keep
        keep = self._save_masks and not isinstance(sample.mask, FullMask)
        mask = mask_planes(sample.mask, *self._renderer.latent_size)[0].numpy() if keep else None
        return record, image, mask
