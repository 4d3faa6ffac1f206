"""``ncm dip denoise``, ``inpaint``, ``superres`` and ``reconstruct``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Restoring:
    """What all four have in common."""

    interrupted: ClassVar[str] = "images that are restored are kept, the others begin anew"

    images: tyro.conf.Positional[tuple[Path, ...]]
    """The images; each gets a network of its own. Transparent parts become white."""
    out: Path
    """Folder of the results: NAME.png, NAME-strip.png, which shows the run, and NAME.json."""
    clean: tuple[Path, ...] = ()
    """The clean images, in the same order, to measure against; the restoration does not look at them."""
    input: Literal["gaussian", "fresh", "ddpm"] = "gaussian"
    """What the network is fed with: one noise image, other noise in each iteration, or the image in forward noise."""
    t: tuple[int, ...] = ()
    """For ddpm: a timestep from 0 to 999, or the first and last of a range. Without it: 0 999."""
    iterations: int = 3000
    """At most; time grows in proportion."""
    learning_rate: float = 0.01
    """Adam's."""
    loss: Literal["mse", "l1"] = "mse"
    """Squared or absolute differences."""
    network: Literal["skip", "unet"] = "skip"
    """skip: the paper's hourglass. unet: a small U-Net."""
    widths: tuple[int, ...] = ()
    """Channels per scale, the finest first: without it 128 128 128 128 128 for skip, 10 20 40 for unet. Narrower:
    quicker, and often as good for small images."""
    window: int = 100
    """Of the early stopping: outputs over which the variance is taken."""
    patience: int = 1000
    """Of the early stopping: iterations without a new lowest variance."""
    early_stopping: bool = True
    """False: all iterations are run, and the last average is the result."""
    every: int = 100
    """Iterations between two intermediate pictures of the strip, and two measurements."""
    keep_pictures: bool = False
    """Write the intermediate pictures too, as NAME-000100.png and so on."""
    seed: int = 0
    """Fixes the result, on the same machine."""
    device: str | None = None
    """Where to compute, such as cuda or cpu. Without it: cuda where there is one."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """bfloat16 is quicker where the hardware has it."""
    compile: bool = False
    """Let torch compile the network: a minute's wait that pays for long runs."""

    def run(self, task: Literal["denoise", "inpaint", "super-resolve", "reconstruct"], **options: Any) -> int:
        """Restore all images; the exit code."""
        from .dip_run import run_restorations

        for path in run_restorations(self, task, **options):
            print(path)
        return 0


@dataclass(frozen=True, kw_only=True)
class DipDenoise(Restoring):
    """Take the noise out of images.

    For example:

    - ncm dip denoise noisy.png --out restored
    - ncm dip denoise noisy.png --out restored --clean clean.png --widths 16 32 32 --iterations 1000 --input ddpm --t 50
    """

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self.run("denoise")


@dataclass(frozen=True, kw_only=True)
class DipInpaint(Restoring):
    """Paint the parts of images that a mask covers.

    For example:

    - ncm dip inpaint torn.png --mask holes.png --out restored
    - ncm dip inpaint a.png b.png --mask a-holes.png b-holes.png --out restored --iterations 5000
    """

    mask: tuple[Path, ...]
    """Images of the same size, one for all or one for each: white is painted, black is kept, gray counts in part."""
    keep_known: bool = True
    """Put the known pixels back into the result. False: all of it comes from the network."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self.run("inpaint", masks=self.mask, keep_known=self.keep_known)


@dataclass(frozen=True, kw_only=True)
class DipSuperresolve(Restoring):
    """Enlarge images by 2 or 4.

    For example:

    - ncm dip superres small.png --out restored
    - ncm dip superres small.png --factor 2 --clean large.png --out restored
    """

    factor: Literal["2", "4"] = "4"
    """How much larger each side becomes."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self.run("super-resolve", factor=int(self.factor))


@dataclass(frozen=True, kw_only=True)
class DipReconstruct(Restoring):
    """Fit images as they are, without early stopping: how fast a network learns what.

    For example:

    - ncm dip reconstruct image.png --out fitted
    - ncm dip reconstruct image.png --out fitted --input ddpm --network unet --loss l1 --learning-rate 0.002
    """

    def __call__(self) -> int:
        """Run the command; the exit code."""
        return self.run("reconstruct")
