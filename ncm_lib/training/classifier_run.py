"""The loop of a classifier training: epochs, the choice of one, and the one look at the test."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import InputError
from ..maths.rng import sample_seeds
from ..metrics.classifier import Classifier, logits_of
from ..metrics.preparation import Preparation
from ..metrics.scores import Scores, scores
from ..sources.listing import SourceListing
from ..typing import Float32
from .backbones import new_classifier
from .classifier_config import ClassifierTraining
from .classifier_files import (
    append_metrics,
    read_checkpoint,
    write_checkpoint,
    write_metrics,
    write_model,
    write_scores,
)
from .classifier_images import Batch, Pictures, Steps, centred
from .classifier_schedule import Schedule
from .learning_rate import learning_rate
from .losses import LDAM_SCALE, class_balanced_weights, ldam_margins, soft_cross_entropy
from .synthetic import SyntheticSet


@dataclass(frozen=True, kw_only=True)
class ClassifierProgress:
    """How far a training is, told after every epoch."""

    epoch: int
    """Finished ones."""
    epochs: int
    train_loss: float
    validation_accuracy: float


@dataclass(kw_only=True)
class ClassifierRun:
    """One run of a training, from its last checkpoint to its scores."""

    folder: Path
    real: SourceListing
    validation: SourceListing
    synthetic: Sequence[SyntheticSet]
    config: ClassifierTraining
    """Settled."""
    device: torch.device
    on_progress: Callable[[ClassifierProgress], None] | None
    _history: list[dict[str, Any]] = field(default_factory=list, init=False)
    _best: dict[str, Any] = field(default_factory=dict, init=False)
    """Epoch, scores and weights of the best epoch so far."""

    def train(self, test: SourceListing | None, accelerator: Accelerator) -> dict[str, Any]:
        """Train, choose, and score on ``test``.

        Returns:
            What ``result.json`` keeps.

        Raises:
            InputError: a loss that is not finite, or an image that cannot be read.
        """
        config = self.config
        classes = self.real.classes.names
        module, preparation = new_classifier(config, classes)
        labels = self._labels()
        schedule = Schedule(real=len(self.real), labels=labels, config=config)
        self._losses(labels, accelerator.device)
        optimizer = _optimizer(module, config)
        network, stepper = accelerator.prepare(module, optimizer)
        first = self._continue(module, optimizer)
        if accelerator.is_main_process:
            write_metrics(self.folder, self._history)
        judge = Classifier(name=str(self.folder), module=module, classes=classes, preparation=preparation)
        chooser = [*centred(self.validation, preparation)]
        truth = self.validation.class_ids.astype(np.int64)
        loader = self._loader(schedule, preparation, accelerator, first)
        for epoch in range(first, config.epochs):
            begun = time.monotonic()
            try:
                loss = self._epoch(epoch, schedule, loader, network, stepper, accelerator, preparation)
            except KeyboardInterrupt as error:
                kept = epoch // config.checkpoint_every * config.checkpoint_every
                error.args = (f"{kept} of {config.epochs} epochs are kept, the same command continues",)
                raise
            module.eval()
            found = scores(judge.probabilities(iter(chooser)), truth)
            self._remember(epoch, loss, found, module, time.monotonic() - begun)
            if accelerator.is_main_process:
                append_metrics(self.folder, self._history[-1])
                if (epoch + 1) % config.checkpoint_every == 0:
                    self._checkpoint(epoch + 1, module, optimizer)
            if self.on_progress is not None:
                self.on_progress(
                    ClassifierProgress(
                        epoch=epoch + 1, epochs=config.epochs, train_loss=loss, validation_accuracy=found.accuracy
                    )
                )
        module.load_state_dict(self._best["weights"])
        module.eval()
        return self._finish(judge, test, accelerator)

    def _labels(self) -> Float32[np.ndarray, "items classes"]:
        hard = np.zeros((len(self.real), len(self.real.classes)), dtype=np.float32)
        hard[np.arange(len(hard)), self.real.class_ids] = 1
        return np.concatenate([hard, *(one.labels for one in self.synthetic)])

    def _losses(self, labels: Float32[np.ndarray, "items classes"], device: torch.device) -> None:
        """Class weights and margins, where there are any; synthetic images count with their shares where they add."""
        own = labels if self.config.use == "add" else labels[: len(self.real)]
        counts = torch.as_tensor(own.sum(axis=0, dtype=np.float64))
        self._weights, self._margins = None, None
        if self.config.reweight == "class-balanced":
            self._weights = class_balanced_weights(counts, self.config.reweight_beta).to(device)
        if self.config.ldam_margin:
            self._margins = LDAM_SCALE * ldam_margins(counts, self.config.ldam_margin).to(device)

    def _loader(
        self, schedule: Schedule, preparation: Preparation, accelerator: Accelerator, first: int
    ) -> Iterator[Batch]:
        pictures = Pictures(real=self.real, synthetic=self.synthetic, preparation=preparation)
        steps = Steps(pictures, schedule, rank=accelerator.process_index, world=accelerator.num_processes)
        left = range(first * schedule.steps_per_epoch, schedule.steps)
        return iter(DataLoader(steps, batch_size=None, sampler=left, num_workers=self.config.workers))

    def _epoch(
        self,
        epoch: int,
        schedule: Schedule,
        loader: Iterator[Batch],
        network: nn.Module,
        stepper: Any,
        accelerator: Accelerator,
        preparation: Preparation,
    ) -> float:
        """One pass; the mean loss of its images."""
        network.train()
        weights = self._weights if epoch >= self.config.reweight_from else None
        total, rows = torch.zeros((), dtype=torch.float64), 0
        with _own_randomness(int(sample_seeds(self.config.seed, epoch, epoch + 1)[0])):
            for number in range(schedule.steps_per_epoch):
                rate = learning_rate(self.config, epoch * schedule.steps_per_epoch + number, schedule.steps)
                for group in stepper.param_groups:
                    group["lr"] = rate
                batch = next(loader)
                pixels, labels = _mixed(batch, preparation, accelerator.device)
                with accelerator.autocast():
                    logits = logits_of(network, pixels)
                losses = soft_cross_entropy(
                    logits.float(),
                    labels,
                    smoothing=self.config.label_smoothing,
                    weights=weights,
                    margins=self._margins,
                )
                # processes average their gradients
                loss = losses.sum() * accelerator.num_processes / batch.rows
                stepper.zero_grad()
                accelerator.backward(loss)
                stepper.step()
                total += losses.detach().sum().double().cpu()
                rows += batch.rows
        everyone: Any = accelerator.reduce(total.to(accelerator.device, torch.float32), reduction="sum")
        mean = float(everyone) / rows
        if not np.isfinite(mean):
            raise InputError(
                f"The loss of epoch {epoch} is {mean}: the training has diverged. Take a smaller learning rate than "
                f"{self.config.learning_rate:g}."
            )
        return mean

    def _remember(self, epoch: int, loss: float, found: Scores, module: nn.Module, seconds: float) -> None:
        line = {
            "epoch": epoch,
            "train_loss": loss,
            "validation_accuracy": found.accuracy,
            "validation_loss": found.loss,
            "seconds": round(seconds, 3),
        }
        self._history.append(line)
        # few validation images tie often: then the loss decides, then the earlier epoch
        rank = (-found.accuracy, found.loss)
        if not self._best or rank < tuple(self._best["rank"]):
            weights = copy.deepcopy({name: value.cpu() for name, value in module.state_dict().items()})
            self._best = {"epoch": epoch, "rank": list(rank), "weights": weights}

    def _continue(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """The epoch to go on with."""
        state = read_checkpoint(self.folder)
        if state is not None:
            module.load_state_dict(state["module"])
            optimizer.load_state_dict(state["optimizer"])
            self._history, self._best = state["history"], state["best"]
        return len(self._history)

    def _checkpoint(self, epochs: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if epochs < self.config.epochs:
            state = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
            write_checkpoint(self.folder, state | {"history": self._history, "best": self._best})

    def _finish(self, judge: Classifier, test: SourceListing | None, accelerator: Accelerator) -> dict[str, Any]:
        found = None
        if test is not None and accelerator.is_main_process:
            pictures = centred(test, judge.preparation)
            found = scores(judge.probabilities(pictures), test.class_ids.astype(np.int64))
        if accelerator.is_main_process:
            write_model(self.folder, judge.module, judge.classes, judge.preparation)
            if found is not None:
                write_scores(self.folder, found, judge.classes)
        accuracy, loss = -self._best["rank"][0], self._best["rank"][1]
        return {
            "epoch": self._best["epoch"],
            "validation": {"accuracy": accuracy, "loss": loss},
            "test": None if found is None else found.to_json(),
            "images": {
                "train": len(self.real),
                "validation": len(self.validation),
                "synthetic": sum(map(len, self.synthetic)),
            },
        }


def _optimizer(module: nn.Module, config: ClassifierTraining) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=rate, momentum=config.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(module.parameters(), lr=rate, weight_decay=decay)


def _mixed(batch: Batch, preparation: Preparation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels and labels as the network gets them."""
    pixels, labels = preparation.normalised(batch.pixels.to(device)), batch.labels.to(device)
    if batch.mix is None or batch.partner_pixels is None or batch.partner_labels is None:
        return pixels, labels
    partners = preparation.normalised(batch.partner_pixels.to(device))
    return batch.mix.apply(pixels, labels, partners, batch.partner_labels.to(device))


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Dropout and the like draw from torch's own streams: here from one that belongs to the epoch."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
