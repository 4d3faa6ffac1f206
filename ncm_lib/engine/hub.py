"""From the name of a model to its folder: one on this machine, or one that the hub gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def folder_of(source: str | Path, patterns: Sequence[str], *, what: str, legal: str) -> Path:
    """The folder of a model; a hub id is downloaded, or found where it was downloaded before.

    Args:
        source: a folder, or a hub id.
        patterns: of the files that are wanted.
        what: is looked for, for messages.
        legal: the end of messages.

    Raises:
        InputError: there is no such folder, and the name is no hub id or the hub does not give it. In one line.
    """
    name = str(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not _HUB_ID.fullmatch(name):
        raise InputError(f"There is no {what} at {name!r}; {legal}.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub client raises its own, the connection's and the OS's errors
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise InputError(
            f"There is no folder {name!r}, and the hub gave no {what} of that id ({reason}); {legal}."
        ) from error
