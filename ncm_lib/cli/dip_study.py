"""``ncm dip study``: does forward noise help?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class DipStudy:
    """Restore images by every input over several seeds, and write a report: report.md, curves.png, results.json.

    Every restoration is kept in OUT/cells as it is done; the same command continues, and a larger one adds to it.

    For example:

    - ncm dip study photographs/*.png --out study
    - ncm dip study a.png b.png --out study --arms gaussian ddpm-100 --damages noise-25 --seeds 5 --side 96
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Clean photographs."""
    out: Path
    """The study's folder."""
    side: int = 64
    """The largest square in the middle of each image is averaged down to so many pixels; a multiple of 4."""
    arms: tuple[str, ...] | None = None
    """The inputs to compare; all of them by default."""
    damages: tuple[str, ...] | None = None
    """noise-25, inpaint-50, super-resolve-4; all of them by default."""
    seeds: int = 3
    """Each has its own network, input and damage. Time grows in proportion."""
    learning_rates: tuple[float, ...] = (0.01,)
    """Adam's; several make a table over them."""
    widths: tuple[int, ...] = (16, 16, 16)
    """Channels of the skip network, the finest scale first; the paper's are 128 at 5 scales."""
    iterations: int = 800
    """Of every restoration."""
    write_up: bool = True
    """Also run the write-up's own protocol, in gray, on images of up to 128 pixels."""
    curves: bool = True
    """Draw curves.png; needs the extra `plots`."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..dip.study import StudyConfig
        from ..errors import import_extra
        from .dip_study_run import run_study

        if self.curves:
            import_extra("matplotlib", "plots")
        chosen = {"arms": self.arms, "damages": self.damages}
        config = StudyConfig(
            seeds=self.seeds,
            learning_rates=self.learning_rates,
            widths=self.widths,
            iterations=self.iterations,
            **{name: value for name, value in chosen.items() if value is not None},  # pyright: ignore[reportArgumentType]
        )
        for path in run_study(
            self.images, self.out, config, side=self.side, write_up=self.write_up, curves=self.curves
        ):
            print(path)
        return 0
