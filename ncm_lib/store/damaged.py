"""Files that are taken out of use: moved aside inside of the data set, never deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .disk import sync_folder
from .layout import DAMAGED, safe_join

NOTES = "notes.jsonl"


def set_aside(root: Path, name: str, problem: str) -> str:
    """Move ``name`` to the same place below ``damaged/``, and note it in ``damaged/notes.jsonl``.

    Args:
        root: the data set.
        name: the file, from there; a file of this name that is there already keeps its place, and this one is numbered.
        problem: why, for the note.

    Returns:
        Where it is now, from ``root``.

    Raises:
        InputError: ``damaged`` leads out of the data set.
        OSError: the disk does not take the note or the move.
    """
    source = safe_join(root, name)
    target = safe_join(root, f"{DAMAGED}/{name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while os.path.lexists(target):
        number += 1
        target = target.with_name(f"{source.stem}-{number}{source.suffix}")
    moved = target.relative_to(root).as_posix()
    # the note first: a file that moved without one would be a riddle, a note too many is none
    with (root / DAMAGED / NOTES).open("a", encoding="ascii") as notes:
        notes.write(json.dumps({"file": name, "moved_to": moved, "problem": problem}) + "\n")
        notes.flush()
        os.fsync(notes.fileno())
    source.rename(target)
    for folder in (target.parent, source.parent):
        sync_folder(folder)
    return moved
