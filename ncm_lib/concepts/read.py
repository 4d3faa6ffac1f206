"""Reading concepts, whoever wrote them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..plan.classes import ClassList
from .concept_set import ConceptSet
from .diffusers_files import is_diffusers, read_diffusers
from .layout import LORA, MANIFEST, current, embedding_name
from .lora import LoraPair, lora_pairs
from .manifest import ConceptsFile, HashedFile
from .published import is_published, read_published
from .tensor_files import parse_safetensors, read_bytes

LAYOUTS = (
    f"a folder that ncm wrote ({MANIFEST}), one that Diff-Mix published (learned_embeds-steps-last.bin beside {LORA}), "
    f"or diffusers' files (embeddings as .safetensors, and {LORA} if there is one)"
)


def read_concepts(path: str | Path) -> ConceptSet:
    """Read the concepts in a folder.

    Args:
        path: a folder that ``save_concepts`` wrote, a published Diff-Mix checkpoint (``shot-1-lora-rank10``), or one
            with the files of diffusers' own training scripts: a LoRA file and an embedding file per class.

    Returns:
        The concepts, on the CPU; every tensor was checked to be of the expected form, and finite.

    Raises:
        InputError: no concepts are there, or they are damaged, incomplete or hostile; the message names the file and
            what was expected of it.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is not there"
        raise InputError(f"{path} {what}; concepts are {LAYOUTS}.")
    if current(folder, MANIFEST).is_file():
        return _read_ours(folder)
    if is_published(folder):
        return read_published(folder)
    if is_diffusers(folder):
        return read_diffusers(folder)
    raise InputError(f"The folder {path} holds no concepts; concepts are {LAYOUTS}.")


def is_concepts(folder: Path) -> bool:
    """Whether a folder says by its files' names that it holds concepts; nothing is read."""
    return (
        any(current(folder, name).is_file() for name in (MANIFEST, LORA))
        or is_published(folder)
        or any(folder.glob("learned_embeds*.safetensors"))
    )


def _read_ours(folder: Path) -> ConceptSet:
    where = current(folder, MANIFEST)
    head = ConceptsFile.read(where)
    embeddings: dict[str, dict[str, Tensor]] = {encoder: {} for encoder in head.encoders}
    for class_id, entry in enumerate(head.classes):
        name = embedding_name(head.dataset, class_id)
        if entry.file != name:
            raise InputError(f"{where} gives class {class_id} the file {entry.file!r}; by its rule that is {name!r}.")
        tensors = _tensors(folder, entry)
        for encoder, width in head.encoders.items():
            rows = tensors.get(encoder) if len(head.encoders) > 1 else next(iter(tensors.values()))
            shape = [len(entry.tokens), width]
            if rows is None or len(tensors) != len(head.encoders) or [*rows.shape] != shape:
                got = ", ".join(f"{key} {[*tensor.shape]}" for key, tensor in tensors.items())
                raise InputError(
                    f"{folder / name} holds {got}; for the class {entry.name!r} expected is one tensor {shape} per "
                    f"text encoder ({', '.join(head.encoders)})."
                )
            embeddings[encoder].update(zip(entry.tokens, rows, strict=True))
    lora: dict[str, LoraPair] = {}
    if head.lora is not None:
        if head.lora.file != LORA:
            raise InputError(f"{where} names the LoRA file {head.lora.file!r}; by its rule that is {LORA!r}.")
        lora = lora_pairs(_tensors(folder, head.lora), where=f"The weights in {folder / LORA}")
    return ConceptSet(
        classes=ClassList(
            names=tuple(entry.name for entry in head.classes),
            meta_class=head.meta_class,
            tokens=tuple(" ".join(entry.tokens) for entry in head.classes),
        ),
        embeddings=embeddings,
        lora=lora,
        dataset=head.dataset,
        base_model=head.base_model,
        base_fingerprint=head.base_fingerprint,
        resolution=head.resolution,
    )


def _tensors(folder: Path, entry: HashedFile) -> dict[str, Tensor]:
    file = current(folder, entry.file)
    data = read_bytes(file, f"a file of the concepts that {folder / MANIFEST} lists")
    tensors, _ = parse_safetensors(data, file)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InputError(
            f"{file} is not the file that {folder / MANIFEST} describes (its sha256 differs); copy the whole folder "
            "again."
        )
    if not tensors:
        raise InputError(f"{file} holds no tensor: 0 keys.")
    return tensors
