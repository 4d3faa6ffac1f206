"""``ncm train-concepts``: real images made words that a model knows."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..training.concepts_config import ConceptTraining
from ..wording import counted
from .bars import Bar

if TYPE_CHECKING:
    from ..training.concepts_run import TrainingProgress


@dataclass(frozen=True, kw_only=True)
class TrainConcepts:
    """Teach a model the classes of your images: one new word per class, and a LoRA that they share.

    The folder gets pytorch_lora_weights.safetensors, embeddings/, concepts.json (for --concepts, stock diffusers and
    ComfyUI), loss.jsonl, loss.png, samples/, and the checkpoint from which the same command goes on. On several GPUs:
    accelerate launch --multi_gpu --no_python ncm train-concepts ...

    For example:

    - ncm train-concepts --model demo --data birds --out bird-concepts --steps 500 --learning-rate 1e-3
    - ncm train-concepts --model SD15_FOLDER --data birds --meta-class bird --out concepts --mixed-precision fp16
    """

    model: str
    """demo, a folder in diffusers' layout, or a hub id: Stable Diffusion 1.x."""
    data: Path
    """Real images: a folder with one sub-folder per class, or any other source that load_source reads."""
    out: Path
    """Folder of the concepts; continued where it is unfinished."""
    classes: str | None = None
    """JSON file, image folder, or names a,b,c: the order of the classes. Without it: as the data lists them."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): fills {metaclass} of the prompt."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is, or the launcher's."""
    break_lock: bool = False
    """Take the folder over from another process; only when that one is known to be dead."""
    training: Annotated[ConceptTraining, tyro.conf.arg(name="")] = ConceptTraining()  # noqa: RUF009, frozen

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from dataclasses import replace

        from transformers.utils import logging

        from ..plan.classes import ClassList
        from ..sources.load import load_source
        from ..training.concepts import train_concepts

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        first = os.environ.get("RANK", "0") == "0"
        classes = None if self.classes is None else ClassList.load(self.classes)
        # damage is found now, and not in the middle of the training
        images = load_source(self.data, classes=classes, decode=True)
        if self.meta_class is not None:
            images = images.with_classes(replace(images.classes, meta_class=self.meta_class))
        for note in images.notes if first else ():
            print(f"note: {note}", file=sys.stderr)
        with _StepsBar(shown=first) as bar:
            learned = train_concepts(
                self.model,
                images,
                out=self.out,
                config=self.training,
                device=self.device,
                break_lock=self.break_lock,
                on_progress=bar,
            )
        if first:
            print(
                f"{learned.path}: {counted(len(learned.classes), 'class', 'classes')}, "
                f"{counted(learned.steps, 'step')} ({learned.made} of them now, "
                f"{learned.seconds:.1f} s), mean loss of the last 100: {learned.loss:.4f}\n"
                f"look at {learned.path / 'loss.png'}"
            )
        return 0


class _StepsBar:
    """Steps, steps per second, the time that is left, and the loss."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Bar | None = None

    def __enter__(self) -> _StepsBar:
        return self

    def __call__(self, progress: TrainingProgress) -> None:
        if self._bar is None:
            before = progress.step - progress.made
            self._bar = Bar(progress.steps, "steps", initial=before, disable=not self._shown)
        self._bar.set_postfix_str(f"loss {progress.loss:.4f}", refresh=False)
        self._bar.reach(progress.step)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
