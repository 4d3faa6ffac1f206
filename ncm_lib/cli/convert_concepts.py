"""``ncm convert-concepts``: published or diffusers' concept files as ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import tyro

from ..wording import counted


@dataclass(frozen=True, kw_only=True)
class ConvertConcepts:
    """Rewrite concept files as safetensors and JSON: stock diffusers and stock ComfyUI read those, too.

    Takes checkpoints that Diff-Mix published (whose pickle is read as tensors and text only, and refused if it holds
    anything else) and diffusers' own files. The concepts mean the same before and after: a data set that was begun
    with the one goes on with the other.

    For example:

    - ncm convert-concepts ckpts/cub/shot-1-lora-rank10 ckpts/cub-concepts --meta-class bird
    - ncm convert-concepts my-diffusers-files concepts --dataset pets
    """

    interrupted: ClassVar[str] = "nothing is lost; the same command begins again"

    source: tyro.conf.Positional[Path]
    """Folder to read."""
    out: tyro.conf.Positional[Path]
    """Folder to write; one that holds concepts already is refused."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): published checkpoints do not say it."""
    dataset: str | None = None
    """The embedding files' names begin with it. Without it: the folder's name, such as cub."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..concepts import read_concepts, save_concepts
        from ..concepts.read import is_concepts
        from ..errors import InputError

        concepts = read_concepts(self.source)
        if self.out.exists() and (not self.out.is_dir() or is_concepts(self.out)):
            raise InputError(f"{self.out} holds concepts already, or is a file; take a new folder.")
        if self.meta_class is not None:
            concepts = replace(concepts, classes=replace(concepts.classes, meta_class=self.meta_class))
        if self.dataset is not None:
            concepts = replace(concepts, dataset=self.dataset)
        save_concepts(self.out, concepts)
        lora = f"LoRA of rank {concepts.rank} on {len(concepts.lora)} layers" if concepts.lora else "no LoRA"
        words = sum(len(vectors) for vectors in concepts.embeddings.values())
        print(f"{self.out}: {counted(len(concepts.classes), 'class', 'classes')}, {counted(words, 'vector')}, {lora}")
        return 0
