"""``ncm filter``: which images of a data set fit their labels worst."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from ..errors import InputError
from ..plan.prompts import DEFAULT_TEMPLATE
from ..wording import counted

if TYPE_CHECKING:
    from ..metrics.filter import Scorer


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Score every image of a data set against its label, and mark those to keep. Nothing is deleted or changed.

    The scores and marks are in the data set's folder filters/, one file per filter. SyntheticDataset(path,
    filter="clip") and ncm export --filter clip leave out what is not kept. The same command continues after an
    interruption, and scores only what is new when the data set has grown.

    For example:

    - ncm filter aug --by clip --clip-model clip-vit-base-patch32
    - ncm filter aug --by classifier --classifier my-classifier --keep 0.8 --per-class
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    by: Literal["clip", "classifier"]
    """clip: similarity of image and prompt. classifier: how sure a classifier is of the label. A mixed label counts by
    its weights."""
    clip_model: Path | None = None
    """For --by clip: folder of a CLIP model in transformers' layout (config.json, model.safetensors, tokenizer)."""
    classifier: Path | None = None
    """For --by classifier: folder that `ncm train-classifier` wrote, or of a transformers image classifier; its labels
    are the data set's classes."""
    keep: float = 0.9
    """Share of the images to keep, those with the highest scores. Lower: better fits, fewer and less varied images."""
    per_class: bool = False
    """Take the share of each class, so that hard classes lose no more than others."""
    prompt: str = DEFAULT_TEMPLATE
    """For --by clip: the prompt template, with {class} and {metaclass}."""
    name: str | None = None
    """Name of the filter. Without it: clip or classifier."""
    batch_size: int = 32
    """Images that are scored at once: more is faster until memory is full."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        check_keep(self.keep)
        options = {"keep": self.keep, "per_class": self.per_class, "name": self.name, "batch_size": self.batch_size}
        return run_filter(self.dataset, self._scorer(), **options)

    def _scorer(self) -> Scorer:
        from ..metrics.clip_score import ClipScore
        from ..metrics.label_probability import LabelProbability

        folders = {"clip": self.clip_model, "classifier": self.classifier}
        options = {"clip": "--clip-model", "classifier": "--classifier"}
        folder = folders.pop(self.by)
        if folder is None or any(folders.values()):
            raise InputError(f"--by {self.by} takes the folder of its model by {options[self.by]}, and no other one.")
        if self.by == "classifier":
            return LabelProbability(folder, device=self.device)
        return ClipScore(folder, prompt=self.prompt, device=self.device)


def check_keep(keep: float) -> None:
    """InputError where a share is none, before anything is loaded."""
    if not 0 < keep <= 1:
        raise InputError(f"--keep is {keep}; legal is a share above 0, up to 1: 0.9 keeps nine of ten images.")


def run_filter(
    dataset: Path,
    scorer: Scorer,
    *,
    keep: float,
    per_class: bool = False,
    name: str | None = None,
    batch_size: int = 32,
) -> int:
    """Filter with a progress bar, and say what was kept; the exit code."""
    from ..metrics.filter import filter_dataset
    from .counter import counter
    from .quiet import quiet

    quiet()
    with counter() as show:
        done = filter_dataset(
            dataset, scorer, keep=keep, per_class=per_class, name=name, batch_size=batch_size, on_progress=show
        )
    lowest = "" if done.threshold is None else f", the lowest kept score is {done.threshold:.4f}"
    print(f"{done.path}: {done.kept} of {counted(done.count, 'image')} kept, {done.scored} scored now{lowest}")
    print(f'read them with SyntheticDataset("{dataset}", filter="{done.name}") or ncm export --filter {done.name}')
    return 0
