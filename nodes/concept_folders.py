"""Where concepts lie: ``models/ncm_concepts`` of ComfyUI, and ``ckpts`` of this pack."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..ncm_lib.concepts.read import is_concepts
from ..ncm_lib.errors import InputError

KIND = "ncm_concepts"
_PACK = Path(__file__).resolve().parent.parent / "ckpts"
_DEPTH = 4
"""Levels that are searched: ``ckpts/cub/shot-1-lora-rank10`` is on the second. A loop of links ends there, too."""

folder_paths.add_model_folder_path(KIND, str(Path(folder_paths.models_dir) / KIND))


def concept_folders() -> dict[str, Path]:
    """Folders of concepts by name; of equal names the first counts, ComfyUI's own folder before the pack's."""
    found: dict[str, Path] = {}
    for root in [*map(Path, folder_paths.get_folder_paths(KIND)), _PACK]:
        for folder in _search(root, _DEPTH):
            found.setdefault(folder.relative_to(root).as_posix(), folder)
    return dict(sorted(found.items()))


def concept_folder(name: str) -> Path:
    """The folder of a name.

    Only names of the listing mean anything, so none can lead elsewhere.

    Raises:
        InputError: there is none of that name.
    """
    folders = concept_folders()
    if name not in folders:
        there = ", ".join(map(repr, [*folders][:5])) or "none"
        raise InputError(
            f"There are no concepts called {name!r}; there are: {there}. Put the folder below models/{KIND} of "
            "ComfyUI or below ckpts of this pack, and press R to see it."
        )
    return folders[name]


def state_of(folder: Path) -> str:
    """A text that changes when a file of the folder does."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return " ".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def _search(root: Path, depth: int) -> list[Path]:
    found: list[Path] = []
    try:
        entries = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    for name in entries:
        folder = root / name
        # a whole model has files of the same names
        if (folder / "model_index.json").is_file():
            continue
        try:
            here = is_concepts(folder)
        except OSError:
            continue
        if here:
            found.append(folder)
        elif depth > 1:
            found += _search(folder, depth - 1)
    return found
