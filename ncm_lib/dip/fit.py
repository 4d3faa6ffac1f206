"""The loop: one untrained network, trained on one image."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from ..errors import InputError
from ..maths.rng import uniforms
from ..typing import Float
from .average import Average
from .backtracking import Backtracking
from .config import DipConfig
from .history import History, OnStep, Quality, Step
from .inputs import NetworkInput
from .networks import build_network
from .quality import psnr, ssim
from .stopping import WindowedVariance
from .tasks import Problem

Dtype: TypeAlias = Literal["float32", "bfloat16", "float64"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """How fits are computed: changes their time and their rounding, and nothing else."""

    dtype: Dtype = "float32"
    channels_last: bool = True
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of one image."""

    image: Float[Tensor, "1 c h w"]
    history: History
    stopped_at: int


class Fitting:
    """The training of one network on one image; ``run()`` does it.

    Args:
        problem: image and task.
        config: network, input, loss, iterations, stopping.
        seed: in [0, 2**63).
        how: dtype, memory layout, compilation.
        clean: what the result is measured against.
        measure_every: iterations between two measurements.
    """

    def __init__(
        self,
        problem: Problem,
        config: DipConfig,
        *,
        seed: int,
        how: Run,
        clean: Float[Tensor, "1 c h w"] | None,
        measure_every: int,
    ) -> None:
        self._problem, self._config, self._clean, self._measure_every = problem, config, clean, measure_every
        start = problem.start
        network_seed, watch_seed = (int(number * 2.0**32) for number in uniforms(seed, "dip_network", 0, 1, 2)[0])
        self._input = NetworkInput(config.input, start, seed=seed)
        size = (start.shape[-2], start.shape[-1])
        network = build_network(config.network, self._input.channels, start.shape[1], size, seed=network_seed)
        self._layout = torch.channels_last if how.channels_last else torch.contiguous_format
        network.to(start.device, start.dtype).to(memory_format=self._layout)  # pyright: ignore[reportCallIssue]
        self._network: Any = torch.compile(network) if how.compile else network
        lowered = how.dtype == "bfloat16"
        self._precision = torch.autocast(start.device.type, torch.bfloat16) if lowered else nullcontext()
        fused = start.device.type in ("cpu", "cuda")
        self._optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=fused)
        self._average = Average(config.average)
        self._back = Backtracking(network, self._optimizer, self._average, config.loss)
        stopping = config.stopping
        self._variance = None if stopping is None else WindowedVariance(stopping, start.numel(), seed=watch_seed)
        self._losses: list[float] = []
        self._variances: list[float] = []
        self._qualities: list[Quality] = []
        self._best: Tensor | None = None
        self._best_at = 0

    def run(self, *, place: tuple[int, int], on_step: OnStep | None) -> Fitted:
        """Train; ``place`` is which image it is, of how many."""
        config, spent = self._config, 0.0
        for iteration in range(1, config.iterations + 1):
            since = time.perf_counter()
            output = self._iterate(iteration)
            spent += time.perf_counter() - since
            quality = None if output is None else self._measure(iteration, output)
            if on_step is not None:
                on_step(
                    Step(
                        index=place[0],
                        count=place[1],
                        iteration=iteration,
                        iterations=config.iterations,
                        loss=self._losses[-1],
                        quality=quality,
                        picture=lambda: self._result()[0][0],
                    )
                )
            if self._is_over():
                break
        history = History(
            loss=tuple(self._losses),
            variance=tuple(self._variances),
            quality=tuple(self._qualities),
            backtracks=tuple(self._back.iterations),
            seconds=spent,
        )
        image, stopped_at = self._result()
        return Fitted(image=image, history=history, stopped_at=stopped_at)

    def _iterate(self, iteration: int) -> Tensor | None:
        """One step of training; its output, or None where it is thrown away."""
        self._optimizer.zero_grad()
        z = self._input.next().contiguous(memory_format=self._layout)
        with self._precision:
            output: Tensor = self._network(z).to(z.dtype)
        loss = self._problem.loss(output, self._config.loss)
        loss.backward()
        value = float(loss.detach())
        stands = self._back.stands(iteration, value)
        self._losses.append(value if stands else math.nan)
        if stands:
            self._optimizer.step()
            output = output.detach()
            self._average.add(output)
        if self._variance is not None:
            self._variances.append(self._variance.add(output) if stands else math.nan)
            if stands and self._variance.is_lowest:
                self._best, self._best_at = self._now(), iteration
        return output if stands else None

    def _is_over(self) -> bool:
        stopping = self._config.stopping
        settled = self._variance is not None and self._variance.patience_is_over
        return self._back.is_hopeless or (settled and stopping is not None and not stopping.run_on)

    def _now(self) -> Tensor:
        """What the average gives now."""
        average = self._average.value
        if average is None:
            rate = self._config.learning_rate
            raise InputError(f"Training gave no finite output with the learning rate {rate:g}; take a lower one.")
        return self._problem.finish(average)

    def _result(self) -> tuple[Tensor, int]:
        """The result as it stands, and the iteration that it is from."""
        image, iteration = (self._now(), len(self._losses)) if self._best is None else (self._best, self._best_at)
        return image.float().cpu().clamp(0, 1), iteration

    def _measure(self, iteration: int, output: Tensor) -> Quality | None:
        clean = self._clean
        if clean is None or (iteration % self._measure_every and iteration != self._config.iterations):
            return None
        result, output = self._now().cpu(), self._problem.finish(output).cpu()
        large = min(clean.shape[-2:]) >= 11
        quality = Quality(
            iteration=iteration,
            psnr=psnr(result, clean),
            ssim=ssim(result, clean) if large else math.nan,
            output_psnr=psnr(output, clean),
            output_ssim=ssim(output, clean) if large else math.nan,
        )
        self._qualities.append(quality)
        return quality
