"""``ncm demo``: a small data set with the embedded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..engine.settings import RenderSettings
from ..methods import NoiseCutMix
from .classes import Classes
from .generate import Run, run_generate


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A soft-labelled NoiseCutMix data set with the embedded demo model; nothing is downloaded.

    For example:

    - ncm demo
    - ncm demo --out my-first-set --count 100
    """

    out: Path = Path("ncm-demo")
    """Folder of the data set; continued where it is unfinished."""
    count: int = 32
    """How many images; about 0.3 s each on two CPU cores."""
    seed: int = 0
    """Another seed: other images."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        run = Run(model="demo", out=self.out, count=self.count, seed=self.seed)
        # whole boxes of middling size: most pictures show two classes
        method = NoiseCutMix(classes=Classes().of("demo"), placement="inside", alpha=4.0)
        return run_generate(method, run, RenderSettings(), count=self.count)
