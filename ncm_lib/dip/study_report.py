"""The study's numbers as tables, with a verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev
from typing import Literal

from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

from ..wording import counted
from .study import Arm, CellResult, StudyConfig, best_of
from .write_up import WriteUpResult

Moment = Literal["stopped", "best", "end"]
MOMENTS: tuple[Moment, ...] = ("stopped", "best", "end")

WriteUps = dict[str, dict[str, WriteUpResult]]


def report(results: Sequence[CellResult], config: StudyConfig, *, side: int, write_up: WriteUps | None) -> str:
    """The report as markdown.

    Args:
        results: of all cells.
        config: of the study.
        side: pixels of an image's side.
        write_up: results of the write-up's protocol by what the network was fed with, and by image.
    """
    images = {one.cell.image: one.brightness for one in results}
    parts = ["# Does forward noise help a deep image prior?", _what_was_done(images, config, side)]
    for rate in config.learning_rates:
        chosen = [one for one in results if one.cell.learning_rate == rate]
        title = f" (learning rate {rate:g})" if len(config.learning_rates) > 1 else ""
        for damage in config.damages:
            of_damage = [one for one in chosen if one.cell.damage == damage]
            parts += [f"## {damage}{title}", _table(of_damage, config.arms)]
            if "gaussian" in config.arms and len(config.arms) > 1:
                parts += [verdict(of_damage, config.arms), _by_brightness(of_damage, config.arms, images)]
    if len(config.learning_rates) > 1:
        parts += ["## Over the learning rate", _by_rate(results, config)]
    if write_up:
        parts += ["## The write-up's own protocol", _write_up(write_up)]
    return "\n\n".join(parts) + "\n"


def measure(result: CellResult, moment: Moment) -> tuple[float, float]:
    """PSNR and SSIM of a cell at the early stop, at the highest point of its curve, or at the end."""
    if moment == "stopped":
        return result.stopped_psnr, result.stopped_ssim
    if moment == "best":
        return best_of(result)[1:]
    return result.curve["psnr"][-1], result.curve["ssim"][-1]


def gain(results: Iterable[CellResult], arm: Arm, moment: Moment) -> tuple[float, float]:
    """PSNR of an arm above gaussian's, paired by image and seed.

    Returns:
        Mean over images, and half the width of its 95 % interval by Student's t over images (NaN for one image).
    """
    cells = {(one.cell.image, one.cell.seed, one.cell.arm): measure(one, moment)[0] for one in results}
    by_image: dict[str, list[float]] = {}
    for (image, seed, its_arm), value in cells.items():
        if its_arm == arm and (image, seed, "gaussian") in cells:
            by_image.setdefault(image, []).append(value - cells[image, seed, "gaussian"])
    means = [fmean(differences) for differences in by_image.values()]
    if not means:
        return math.nan, math.nan
    if len(means) == 1:
        return means[0], math.nan
    return fmean(means), float(stdtrit(len(means) - 1, 0.975)) * stdev(means) / len(means) ** 0.5


def verdict(results: Sequence[CellResult], arms: Sequence[Arm]) -> str:
    """One sentence per moment: which arms are better than gaussian, worse, or neither, by the 95 % intervals."""
    lines = []
    for moment in MOMENTS:
        better, worse, neither = [], [], []
        for arm in arms:
            if arm != "gaussian":
                mean, half = gain(results, arm, moment)
                place = better if mean - half > 0 else worse if mean + half < 0 else neither
                place.append(f"{arm} ({mean:+.2f} ± {half:.2f} dB)")
        said = [f"{what}: {', '.join(names)}" for what, names in
                (("better", better), ("worse", worse), ("no clear difference", neither)) if names]  # fmt: skip
        lines.append(f"- against gaussian, {moment}: {'; '.join(said)}")
    return "\n".join(lines)


def _what_was_done(images: dict[str, float], config: StudyConfig, side: int) -> str:
    order = sorted(images.items(), key=lambda item: item[1])
    return (
        f"{len(images)} images of {side} x {side} pixels, {counted(config.seeds, 'seed')}; skip network of "
        f"{len(config.widths)} scales ({' x '.join(map(str, config.widths))} channels), {config.iterations} iterations "
        f"of Adam, MSE, output average 0.99, early stopping with a window of {config.window} and a patience of "
        f"{config.patience}. PSNR in dB and SSIM with data_range 1, of the averaged output; inpainting with the known "
        f"pixels put back. The images, by brightness: {', '.join(f'{name} {mean:.2f}' for name, mean in order)}."
    )


def _table(results: Sequence[CellResult], arms: Sequence[Arm]) -> str:
    rows = [
        "| input | stopped early: PSNR, SSIM | at the best | at the end | best at | stopped at | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        of_arm = [one for one in results if one.cell.arm == arm]
        if not of_arm:
            continue
        pairs = [_mean_pair(of_arm, moment) for moment in MOMENTS]
        cells = [f"{psnr:.2f}, {ssim:.3f}" for psnr, ssim in pairs]
        numbers = [_mean(of_arm, lambda one: best_of(one)[0]), _mean(of_arm, lambda one: one.stopped_at)]
        seconds = _mean(of_arm, lambda one: one.seconds)
        rows.append(f"| {arm} | {' | '.join(cells)} | {numbers[0]:.0f} | {numbers[1]:.0f} | {seconds:.1f} |")
    start = _mean(results, lambda one: one.start_psnr)
    return "\n".join([*rows, "", f"What the task starts with: {start:.2f} dB."])


def _by_brightness(results: Sequence[CellResult], arms: Sequence[Arm], images: dict[str, float]) -> str:
    order = sorted(images, key=lambda name: images[name])
    dark = set(order[: len(order) // 2])
    head = "| gain over gaussian, dB | darker half, stopped | brighter, stopped | darker, best | brighter, best |"
    rows = [head, "|---|---|---|---|---|"]
    for arm in arms:
        if arm == "gaussian":
            continue
        cells = []
        for moment in ("stopped", "best"):
            for half in (True, False):
                chosen = [one for one in results if (one.cell.image in dark) is half]
                mean, width = gain(chosen, arm, moment)
                cells.append(f"{mean:+.2f} ± {width:.2f}")
        rows.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _by_rate(results: Sequence[CellResult], config: StudyConfig) -> str:
    parts = []
    for damage in config.damages:
        rates = " | ".join(f"{rate:g}" for rate in config.learning_rates)
        rows = [f"{damage}, PSNR stopped early / at the best:", "", f"| input | {rates} |",
                "|---|" + "---|" * len(config.learning_rates)]  # fmt: skip
        for arm in config.arms:
            cells = []
            for rate in config.learning_rates:
                chosen = [one for one in results if (one.cell.learning_rate, one.cell.damage, one.cell.arm)
                          == (rate, damage, arm)]  # fmt: skip
                cells.append(" / ".join(f"{_mean_pair(chosen, moment)[0]:.2f}" for moment in ("stopped", "best")))
            rows.append(f"| {arm} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _write_up(results: WriteUps) -> str:
    count = counted(len(results["noise"]), "image")
    head = f"Trained on the clean image, evaluated on new pure noise, means over {count}."
    rows = [head, "", "| fed with | PSNR | SSIM, data_range 1 | SSIM, data_range 255 |", "|---|---|---|---|"]
    for fed, title in (("noise", "fresh noise"), ("image", "the clean image on its way to noise")):
        found = list(results[fed].values())
        means = [fmean(getattr(one, name) for one in found) for name in ("psnr", "ssim", "ssim_255")]
        rows.append(f"| {title} | {means[0]:.2f} | {means[1]:.3f} | {means[2]:.4f} |")
    return "\n".join([*rows, "", "Two unrelated images of uniform noise have an SSIM of 0.9967 with data_range 255."])


def _mean(results: Sequence[CellResult], value: Callable[[CellResult], float]) -> float:
    return fmean(map(value, results)) if results else math.nan


def _mean_pair(results: Sequence[CellResult], moment: Moment) -> tuple[float, float]:
    measured = [measure(one, moment) for one in results] or [(math.nan, math.nan)]
    return fmean(psnr for psnr, _ in measured), fmean(ssim for _, ssim in measured)
