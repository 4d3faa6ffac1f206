"""The loop of a concept training: steps, checkpoints, grids, and ending well."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..engine.load import Model
from ..engine.memory import is_out_of_memory
from ..errors import InputError
from ..maths.rng import sample_noise
from ..plan.classes import ClassList
from ..store.disk import plain_errors
from .concepts_checkpoint import TrainingState
from .concepts_config import ConceptTraining
from .concepts_grid import write_grid
from .concepts_latents import LatentSource
from .concepts_learner import Learner
from .concepts_log import LossLog
from .concepts_sampler import ConceptSampler
from .concepts_signals import uninterrupted


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training is."""

    step: int
    steps: int
    made: int
    """Steps of this run."""
    loss: float
    """Mean of the last hundred steps."""
    seconds: float


@dataclass(kw_only=True)
class TrainingRun:
    """One run of a training, from its last checkpoint to the number of steps that is asked for."""

    folder: Path
    model: Model
    classes: ClassList
    learner: Learner
    sampler: ConceptSampler
    source: LatentSource
    config: ConceptTraining
    accelerator: Accelerator
    side: int
    keep: Callable[[], None]
    """Writes the concept files."""
    on_progress: Callable[[TrainingProgress], None] | None
    step: int = field(default=0, init=False)
    """Updates that the weights have seen."""

    def train(self) -> tuple[int, float]:
        """Train.

        Returns:
            The steps of this run, and the mean loss of the last hundred.

        Raises:
            InputError: fewer steps were asked for than there are, see ``_learn``, or a file cannot be written.
        """
        config, accelerator = self.config, self.accelerator
        self._rows_per_part = self._split()
        optimizer = self._optimizer()
        self._denoiser, self._stepper = accelerator.prepare(self.learner.denoiser, optimizer)
        self._state = TrainingState(
            parameters=self.learner.parameters(), optimizer=optimizer, scaler=accelerator.scaler
        )
        first = self.step = saved = self._state.read(self.folder)
        if first > config.steps:
            raise InputError(
                f"{self.folder} has been trained for {first} steps and this run asks for {config.steps}: a training "
                f"can grow but not shrink. Ask for {first} or more, or take a new folder."
            )
        main = accelerator.is_main_process
        if not main:
            while self.step < config.steps:
                self._update()
            return self.step - first, math.nan
        log, started = LossLog(self.folder, first), time.monotonic()
        try:
            with plain_errors(self.folder):
                while self.step < config.steps:
                    begun = time.monotonic()
                    loss, norm = self._update()
                    log.add(self.step, loss, norm, time.monotonic() - begun)
                    if self.step % config.checkpoint_every == 0:
                        saved = self._save(log)
                    if config.validation_every and self.step % config.validation_every == 0:
                        self._grid()
                    if self.on_progress is not None:
                        self.on_progress(
                            TrainingProgress(
                                step=self.step, steps=config.steps, made=self.step - first, loss=log.recent(),
                                seconds=time.monotonic() - started,
                            )
                        )  # fmt: skip
                self._save(log)
        except KeyboardInterrupt as error:
            if self.step > saved:
                self._save(log)
            error.args = (f"{self.step} of {config.steps} steps are kept, the same command continues",)
            raise
        finally:
            log.close()
        return self.step - first, log.recent()

    def _save(self, log: LossLog) -> int:
        self._state.write(self.folder, self.step)
        self.keep()
        log.draw()
        return self.step

    def _grid(self) -> None:
        with self.accelerator.autocast():
            write_grid(
                self.folder, self.step, model=self.model, classes=self.classes, learner=self.learner,
                config=self.config, side=self.side,
            )  # fmt: skip

    def _split(self) -> int:
        """Rows of one process in one accumulated part."""
        config, processes = self.config, self.accelerator.num_processes
        if config.batch_size % (processes * config.gradient_accumulation):
            raise InputError(
                f"batch_size {config.batch_size} cannot be shared by {processes} processes with gradient_accumulation "
                f"{config.gradient_accumulation}; take a multiple of {processes * config.gradient_accumulation}."
            )
        return config.batch_size // (processes * config.gradient_accumulation)

    def _optimizer(self) -> torch.optim.AdamW:
        config, lora = self.config, list(self.learner.lora.values())
        words = {"params": [*self.learner.rows.values()], "lr": config.embedding_learning_rate, "weight_decay": 0.0}
        layers = {"params": lora, "lr": config.learning_rate, "weight_decay": config.weight_decay}
        return torch.optim.AdamW([words, layers] if lora else [words], betas=(0.9, 0.999))

    def _update(self) -> tuple[float, float]:
        """One step: the batch's loss and the norm of its gradient."""
        config, accelerator = self.config, self.accelerator
        parts, processes, rank = config.gradient_accumulation, accelerator.num_processes, accelerator.process_index
        total = torch.zeros((), device=self.model.device)
        for part in range(parts):
            start = self.step * config.batch_size + (part * processes + rank) * self._rows_per_part
            # processes need to agree once per step only
            with nullcontext() if part == parts - 1 else accelerator.no_sync(self._denoiser):
                total += self._learn(start, start + self._rows_per_part) / parts
        norm = accelerator.clip_grad_norm_(list(self.learner.parameters().values()), config.max_gradient_norm)
        value = float(accelerator.reduce(total, "mean"))  # pyright: ignore[reportArgumentType]
        if not math.isfinite(value):
            raise InputError(
                f"The loss of step {self.step + 1} is {value}: the training has run away. Take lower learning rates, "
                f"and a new folder (the last checkpoint in {self.folder} may be good)."
            )
        with uninterrupted():
            self._stepper.step()
            self._stepper.zero_grad()
            self.step += 1
        return value, float(norm) if norm is not None else math.nan

    def _learn(self, start: int, stop: int) -> Tensor:
        """Add the gradient of the mean loss over the places ``start..stop-1``, as a part of the batch's; the loss.

        Raises:
            InputError: an image cannot be read, or memory runs out.
        """
        draws, device = self.sampler.draw(start, stop), self.model.device
        timesteps = (draws.levels * self.learner.schedule.config.num_train_timesteps).astype(np.int64)
        class_ids = self.sampler.images.class_ids[draws.rows].astype(np.int64)
        try:
            latents = self.source.latents(draws)
            noise = torch.stack([sample_noise(int(seed), latents.shape[1:]) for seed in draws.seeds])
            loss = self.learner.losses(
                self._denoiser,
                latents,
                noise.to(device),
                torch.as_tensor(timesteps, device=device),
                torch.as_tensor(class_ids, device=device),
            ).mean()
            self.accelerator.backward(loss / self.config.gradient_accumulation)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"Memory ran out with {stop - start} images of {self.side} px at once. Raise gradient_accumulation, "
                "set gradient_checkpointing or mixed_precision, or lower the resolution; in a new folder, where this "
                "one has a checkpoint."
            ) from error
        return loss.detach()
