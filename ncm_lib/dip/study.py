"""Does forward noise help? One restoration per image, task, arm, learning rate and seed, measured all the way."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..maths.rng import uniforms
from ..typing import Float
from .config import DipConfig, InputConfig, SkipConfig, StoppingConfig
from .quality import psnr, ssim
from .restore import restore
from .tasks import Inpaint, SuperResolve, Task, shrink

Arm: TypeAlias = Literal["gaussian", "fresh", "ddpm-50", "ddpm-100", "ddpm-250", "ddpm-500", "ddpm-range"]
Damage: TypeAlias = Literal["noise-25", "inpaint-50", "super-resolve-4"]

ARMS: dict[Arm, InputConfig] = {
    "gaussian": InputConfig(),
    "fresh": InputConfig(kind="fresh"),
    "ddpm-50": InputConfig(kind="ddpm", t=50),
    "ddpm-100": InputConfig(kind="ddpm", t=100),
    "ddpm-250": InputConfig(kind="ddpm", t=250),
    "ddpm-500": InputConfig(kind="ddpm", t=500),
    "ddpm-range": InputConfig(kind="ddpm"),
}
"""What each arm is fed with; the rest of the configuration is the same."""

VERSION = 1
"""Raised whenever the same cell would give other numbers than before."""


class StudyConfig(BaseModel):
    """The cells of a study, and what they have in common.

    Example:
        >>> len(cells(StudyConfig(seeds=2, arms=("gaussian", "fresh")), ["a", "b"]))
        24
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    arms: tuple[Arm, ...] = Field(default=tuple(ARMS), min_length=1)
    """The inputs to compare."""
    damages: tuple[Damage, ...] = Field(default=("noise-25", "inpaint-50", "super-resolve-4"), min_length=1)
    """noise-25: Gaussian, sigma 25/255, cut off at 0 and 1. inpaint-50: half of the pixels, drawn at random.
    super-resolve-4: a quarter of each side."""
    seeds: int = Field(default=3, ge=1)
    """Of network, input and damage; all arms share the damage."""
    learning_rates: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(0.01,), min_length=1)
    """Adam's."""
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(16, 16, 16), min_length=1, max_length=8)
    """Of the skip network."""
    iterations: int = Field(default=800, ge=1)
    """Of every cell, all of which are run."""
    window: int = Field(default=100, ge=2)
    """Of the early stopping."""
    patience: int = Field(default=200, ge=1)
    """Of the early stopping."""
    measure_every: int = Field(default=20, ge=1)
    """Iterations between two points of a curve."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One restoration of the study."""

    image: str
    damage: Damage
    arm: Arm
    learning_rate: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What came of a cell; PSNR in dB and SSIM with data_range 1, of the exponential average."""

    cell: Cell
    brightness: float
    """Mean of the clean image."""
    start_psnr: float
    """Of what the task starts with: the noisy image, unknown pixels as the mean, the bicubic enlargement."""
    stopped_at: int
    stopped_psnr: float
    stopped_ssim: float
    curve: dict[str, list[float | int]]
    """iteration, psnr, ssim, and output_psnr of the outputs themselves."""
    backtracks: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CellResult:
        """From plain values."""
        return cls(**{**value, "cell": Cell(**value["cell"])})


def cells(config: StudyConfig, images: list[str]) -> list[Cell]:
    """All cells, seed by seed, so that a study that is cut short has whole seeds."""
    return [
        Cell(image=image, damage=damage, arm=arm, learning_rate=rate, seed=seed)
        for seed in range(config.seeds)
        for rate in config.learning_rates
        for damage in config.damages
        for image in images
        for arm in config.arms
    ]


def cell_key(cell: Cell, clean: Float[Tensor, "c h w"], config: StudyConfig) -> str:
    """Names what the cell's numbers depend on: where it is equal, they need not be computed again."""
    common = config.model_dump(include={"widths", "iterations", "window", "patience", "measure_every"})
    pixels = hashlib.sha256(clean.numpy().tobytes()).hexdigest()
    content = {"version": VERSION, "cell": asdict(cell), "config": common, "shape": list(clean.shape), "pixels": pixels}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def run_cell(cell: Cell, clean: Float[Tensor, "c h w"], config: StudyConfig) -> CellResult:
    """Spoil the image, restore it, and measure.

    Args:
        cell: which restoration.
        clean: the image, its sides multiples of 4, in [0, 1].
        config: the rest.
    """
    task, image, options, start = damaged(cell.damage, clean, cell.seed)
    restored = restore(
        image,
        task,
        config=DipConfig(
            network=SkipConfig(widths=config.widths),
            input=ARMS[cell.arm],
            learning_rate=cell.learning_rate,
            iterations=config.iterations,
            stopping=StoppingConfig(window=config.window, patience=config.patience, run_on=True),
        ),
        clean=clean,
        seed=cell.seed,
        measure_every=config.measure_every,
        **options,
    )
    (history,) = restored.history
    return CellResult(
        cell=cell,
        brightness=float(clean.mean()),
        start_psnr=psnr(start, clean),
        stopped_at=restored.stopped_at[0],
        stopped_psnr=psnr(restored.image, clean),
        stopped_ssim=ssim(restored.image, clean),
        curve={
            name: [getattr(quality, name) for quality in history.quality]
            for name in ("iteration", "psnr", "ssim", "output_psnr")
        },
        backtracks=len(history.backtracks),
        seconds=history.seconds,
    )


def damaged(
    damage: Damage, clean: Float[Tensor, "c h w"], seed: int
) -> tuple[Task, Float[Tensor, "c k l"], dict[str, Any], Float[Tensor, "c h w"]]:
    """The task, the spoilt image, further arguments of ``restore``, and what the task starts with."""
    if damage == "super-resolve-4":
        small = shrink(clean[None], (clean.shape[-2] // 4, clean.shape[-1] // 4)).clamp(0, 1)
        return "super-resolve", small[0], {"factor": 4}, SuperResolve(small, 4).start[0]
    # torch's generator keeps 32 bits of a seed
    generator = torch.Generator().manual_seed(int(uniforms(seed, f"dip_study_{damage}", 0, 1, 1)[0, 0] * 2.0**32))
    if damage == "noise-25":
        noisy = (clean + 25 / 255 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
        return "denoise", noisy, {}, noisy
    mask = (torch.rand(clean.shape[-2:], generator=generator) < 0.5).float()
    return "inpaint", clean, {"mask": mask}, Inpaint(clean[None], mask[None, None], keep_known=True).start[0]


def best_of(result: CellResult) -> tuple[int, float, float]:
    """Iteration, PSNR and SSIM at the highest point of the PSNR's curve."""
    psnrs = [value if math.isfinite(value) else -math.inf for value in result.curve["psnr"]]
    place = max(range(len(psnrs)), key=lambda point: psnrs[point])
    return int(result.curve["iteration"][place]), psnrs[place], result.curve["ssim"][place]
