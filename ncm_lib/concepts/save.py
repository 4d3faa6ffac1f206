"""Writing a concept set so that a kill at any moment leaves a whole one."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import safetensors.torch
from torch import Tensor

from ..errors import InputError
from .concept_set import ConceptSet
from .layout import LORA, MANIFEST, SAVED, SAVING, embedding_name
from .lora import lora_tensors
from .manifest import ConceptClass, ConceptsFile, HashedFile


def save_concepts(folder: str | Path, concepts: ConceptSet) -> None:
    """Write a concept set into a folder, in place of the one that is there.

    The new files are written whole beside the old ones; one rename makes them the set that ``read_concepts`` sees, and
    then they move to their places. Equal sets give equal bytes.

    Args:
        folder: made if it is missing; files that are not of a concept set are left alone.
        concepts: the set. Vectors are stored in float32, LoRA weights in their own type.

    Raises:
        InputError: the folder cannot be written; the set that was there stays whole.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from ncm_lib.concepts import read_concepts
        >>> from ncm_lib.plan.classes import ClassList
        >>> classes = ClassList(names=("robin",), tokens=("<class_0>",))
        >>> concepts = ConceptSet(classes=classes, embeddings={"clip_l": {"<class_0>": torch.ones(8)}}, dataset="cub")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_concepts(folder, concepts)
        ...     print(*sorted(path.name for path in Path(folder).rglob("*")))
        ...     read_concepts(folder).fingerprint == concepts.fingerprint
        concepts.json cub_class_0.safetensors embeddings
        True
    """
    root = Path(folder)
    files = _files(concepts)
    try:
        root.mkdir(parents=True, exist_ok=True)
        settle(root)
        saving = root / SAVING
        if saving.exists():
            shutil.rmtree(saving)
        for name, data in files.items():
            path = saving / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for place in {(saving / name).parent for name in files}:
            _sync(place)
        saving.rename(root / SAVED)
        _sync(root)
        settle(root)
    except OSError as error:
        raise InputError(
            f"The concepts cannot be written to {root} ({error.strerror}). What was there before is still whole; "
            "free the place and save again."
        ) from error


def settle(root: Path) -> None:
    """Move the files of a finished save to their places, if an earlier process was killed before it had done so."""
    saved = root / SAVED
    if not saved.is_dir():
        return
    names = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    stale: set[str] = set()
    if MANIFEST in names:
        stale = _names_of(root / MANIFEST) - _names_of(saved / MANIFEST)
    for name in sorted(names - {MANIFEST}):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (saved / name).replace(target)
    for name in stale:
        (root / name).unlink(missing_ok=True)
    for place in {(root / name).parent for name in names}:
        _sync(place)
    # last: as long as it waits, the set is read with what waits beside it
    if MANIFEST in names:
        (saved / MANIFEST).replace(root / MANIFEST)
    _sync(root)
    shutil.rmtree(saved)


def _names_of(manifest: Path) -> set[str]:
    """The files that a manifest would have us read; none where it is missing or foreign."""
    with suppress(InputError):
        there = ConceptsFile.read(manifest)
        ours = {embedding_name(there.dataset, class_id) for class_id in range(len(there.classes))}
        return {entry.file for entry in there.classes} & ours | ({LORA} if there.lora else set())
    return set()


def _files(concepts: ConceptSet) -> dict[str, bytes]:
    """Content by name."""
    files: dict[str, bytes] = {}
    classes: list[ConceptClass] = []
    for class_id, (name, words) in enumerate(zip(concepts.classes.names, concepts.classes.tokens, strict=True)):
        tokens = tuple(words.split())
        file = embedding_name(concepts.dataset, class_id)
        # One key per file: stock diffusers takes it for the token, and stock ComfyUI takes the first key for any name.
        # A model of two encoders has one per encoder, as both expect there.
        key = tokens[0] if len(tokens) == 1 else f"<class_{class_id}>"
        vectors = {encoder: concepts.vectors(encoder, class_id) for encoder in concepts.embeddings}
        files[file] = _data(vectors if len(vectors) > 1 else {key: next(iter(vectors.values()))})
        classes.append(ConceptClass(name=name, tokens=tokens, file=file, sha256=_sha256(files[file])))
    if concepts.lora:
        files[LORA] = _data(lora_tensors(concepts.lora))
    manifest = ConceptsFile(
        dataset=concepts.dataset,
        base_model=concepts.base_model,
        base_fingerprint=concepts.base_fingerprint,
        resolution=concepts.resolution,
        meta_class=concepts.classes.meta_class,
        rank=concepts.rank,
        encoders={encoder: concepts.width(encoder) for encoder in concepts.embeddings},
        lora=HashedFile(file=LORA, sha256=_sha256(files[LORA])) if concepts.lora else None,
        classes=tuple(classes),
    )
    return files | {MANIFEST: manifest.to_bytes()}


def _data(tensors: dict[str, Tensor]) -> bytes:
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    return safetensors.torch.save(plain, metadata={"format": "pt"})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    """Wait until the folder's entries are on the disk (POSIX; Windows has no such call and needs none)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
