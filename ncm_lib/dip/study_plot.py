"""The study's curves as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ..errors import import_extra
from .study import ARMS, CellResult

_COLOURS = ("#24292f", "#8c959f", "#9ecae9", "#4c9be8", "#1f5fb0", "#123a75", "#f08c1a")


def draw_curves(results: Sequence[CellResult]) -> bytes:
    """PSNR over the iterations, a panel per task and a line per input, means over images and seeds; a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    import_extra("matplotlib", "plots")
    figures: Any = import_extra("matplotlib.figure", "plots")
    damages = list(dict.fromkeys(one.cell.damage for one in results))
    rate = results[0].cell.learning_rate
    figure = figures.Figure(figsize=(4.2 * len(damages), 3.4), dpi=110, layout="constrained")
    for axes, damage in zip(figure.subplots(1, len(damages), squeeze=False)[0], damages, strict=True):
        for arm, colour in zip(ARMS, _COLOURS, strict=True):
            curves = [one.curve for one in results
                      if (one.cell.damage, one.cell.arm, one.cell.learning_rate) == (damage, arm, rate)]  # fmt: skip
            if curves:
                iterations = curves[0]["iteration"]
                means = [fmean(values) for values in zip(*(curve["psnr"] for curve in curves), strict=False)]
                axes.plot(iterations[: len(means)], means, color=colour, label=arm, linewidth=1.6)
        axes.set(title=damage, xlabel="iteration")
        axes.grid(color="#e5e7ea", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("PSNR of the averaged output, dB")
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(names), fontsize=9, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
