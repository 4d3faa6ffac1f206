"""``ncm invert``: real images made the noise that Diff-II starts from."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..plan.classes import ClassList
from ..plan.prompts import DEFAULT_TEMPLATE
from ..wording import counted
from .classes import Classes
from .model_options import ModelOptions


@dataclass(frozen=True, kw_only=True)
class Invert(ModelOptions):
    """Invert real images into a pool, which `ncm generate diff-ii` starts from: each as noise that DDIM turns into it.

    Images that the pool has already are not inverted again: the same command continues, also with images that were
    added or taken away. Says how well the inversions come back, as PSNR beside that of the autoencoder alone.

    For example:

    - ncm invert --model demo --data birds --out pool
    - ncm invert --model SD15_FOLDER --data birds --meta-class bird --out pool --steps 200 --batch-size 4
    - ncm invert --model SD15_FOLDER --concepts concepts --data birds --out pool
    - ncm invert --model SD15_FOLDER --lora style.safetensors:0.8 --data birds --out pool
    """

    concepts: Path | None = None
    """Folder of learned class concepts, as `ncm generate` takes it; the prompts then have their words."""
    any_base: bool = False
    """With --concepts: also take concepts that were learned with another model, as long as they fit."""
    data: Path
    """The real images: a folder with one sub-folder per class, or what else holds images and classes (a CSV list,
    Parquet files, WebDataset shards)."""
    out: Path
    """Folder of the pool; continued where it is unfinished."""
    classes: str | None = None
    """JSON file, image folder, or names a,b,c. Without it: the classes in the data, or the model's own list where that
    has the same names."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): fills {metaclass} of the prompt."""
    num_inference_steps: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 50
    """More steps: inversions that come back more exactly, time grows in proportion."""
    timestep_spacing: Literal["trailing", "leading"] = "trailing"
    """trailing ends at the noisiest level, where generating begins. leading: as the published code did it."""
    prompt: str = DEFAULT_TEMPLATE
    """The prompt template, with {class} and {metaclass}; generating uses the same."""
    height: int | None = None
    """Image height in pixels. Without it: the model's own."""
    width: int | None = None
    """Image width in pixels. Without it: the model's own."""
    batch_size: int = 8
    """Images per model call: more is faster until memory is full."""
    measure: bool = True
    """Denoise each inversion again and keep its PSNR; takes as long again as inverting."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What becomes of files that cannot be used as images: the end, or a note."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..concepts.read import read_concepts
        from ..engine.concepts import with_concepts
        from ..engine.invert import invert
        from ..engine.load import model_classes
        from ..engine.shards import device_of_environment
        from ..sources.load import load_source
        from .progress import ProgressBar
        from .quiet import quiet

        quiet()
        learned = None if self.concepts is None else read_concepts(self.concepts)
        own = model_classes(self.describing) if learned is None else learned.classes
        asked = None if self.classes is None else ClassList.load(self.classes)
        images = load_source(self.data, classes=asked, bad_images=self.bad_images)
        for note in images.notes:
            print(f"note: {note}", file=sys.stderr)
        if asked is None and own is not None and sorted(own.names) == sorted(images.classes.names):
            # the ids, words and metaclass that other data sets of this model have
            images = load_source(self.data, classes=own, bad_images=self.bad_images)
        classes = Classes(meta_class=self.meta_class).named(images.classes if asked is None else asked)
        if learned is not None:
            classes = learned.classes_for(classes)
        model = self.load(device_of_environment(os.environ))
        if learned is not None:
            model = with_concepts(model, learned, any_base=self.any_base)
        with ProgressBar() as bar:
            done = invert(
                model,
                images.with_classes(classes),
                out=self.out,
                num_inference_steps=self.num_inference_steps,
                timestep_spacing=self.timestep_spacing,
                prompt=self.prompt,
                height=self.height,
                width=self.width,
                batch_size=self.batch_size,
                measure=self.measure,
                on_progress=bar,
            )
        print(f"{done.path}: {counted(done.made, 'image')} inverted, {done.skipped} there already")
        if done.psnr is not None and done.psnr_autoencoder is not None:
            print(
                f"inverted and denoised again: median PSNR {done.psnr:.1f} dB; encoded and decoded only, which is the "
                f"ceiling: {done.psnr_autoencoder:.1f} dB"
            )
        return 0
