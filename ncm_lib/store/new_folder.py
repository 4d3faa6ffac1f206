"""A folder that is there whole, or not at all."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .disk import is_temp, plain_errors, sync_file, sync_folder, temp_path


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Give a temp folder beside ``path`` to fill; when the block ends well, it becomes ``path``, else it is removed.

    Raises:
        InputError: something is at ``path`` already, on entry or at the end, or the disk does not take it.
    """
    _refuse_existing(path)
    with plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = _made(path)
    try:
        yield temp
        with plain_errors(path):
            _sync(temp)
            # a rename would silently take the place of an empty folder
            _refuse_existing(path)
            temp.rename(path)
            sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def leftovers(path: Path) -> list[Path]:
    """Temp folders beside ``path`` that a killed process left, or that a living one is filling."""
    if not path.parent.is_dir():
        return []
    return sorted(there for there in path.parent.glob(".*.tmp") if _is_temp_of(path, there.name))


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise InputError(
            f"{path} exists already, and an export never changes what is there. "
            "Take a new folder, or move that one away; nothing was changed."
        )


def _is_temp_of(path: Path, name: str) -> bool:
    return name.startswith(f".{path.name}.") and is_temp(name) and name.count(".") == path.name.count(".") + 3


def _made(path: Path) -> Path:
    """The first temp folder that is not there yet; one that is belongs to somebody else."""
    for number in itertools.count():
        temp = temp_path(path, number)
        try:
            temp.mkdir()
        except FileExistsError:
            continue
        return temp
    raise AssertionError("itertools.count never ends")


def _sync(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            file = Path(place, name)
            # a hard link's content is on the disk already
            if file.stat().st_nlink == 1:
                sync_file(file)
        sync_folder(Path(place))
