"""Which file is where in a data set, and paths that cannot leave it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ..errors import InputError

ImageFormat = Literal["png", "webp", "jpeg"]

SUFFIXES: Mapping[ImageFormat, str] = MappingProxyType({"png": ".png", "webp": ".webp", "jpeg": ".jpg"})
MANIFEST = "dataset.json"
INDEX = "metadata.jsonl"
FAILURES = "failures.jsonl"
SOFT_LABELS = "soft_labels.npy"
PREVIEW = "preview.png"
PARQUET = "index.parquet"
FILTERS = "filters"
"""The folder of scores and marks, one file per filter."""
DAMAGED = "damaged"
"""The folder of what was taken out of use; nothing reads it."""
PER_FOLDER = 1000

_OURS = re.compile(
    r"dataset\.json|images|masks|metadata(-[0-9]+)?\.jsonl|failures\.jsonl|stats\.jsonl|index\.parquet"
    r"|soft_labels\.npy|preview\.(png|html)|filters|damaged|\.ncm-([0-9]+|merge)\.lock|\..+\.[0-9]+\.tmp"
)

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def image_name(index: int, image_format: ImageFormat = "png") -> str:
    """``images/000/00000012.png``: the folder is index // 1000."""
    return f"images/{_place(index)}{SUFFIXES[image_format]}"


def mask_name(index: int) -> str:
    """``masks/000/00000012.png``, whatever the images' format."""
    return f"masks/{_place(index)}.png"


def log_name(rank: int) -> str:
    """``metadata-0.jsonl``: the running log of one rank."""
    return f"metadata-{rank}.jsonl"


def log_paths(root: Path) -> list[Path]:
    """The logs of all ranks, by rank."""
    found = [(re.fullmatch(r"metadata-([0-9]+)\.jsonl", path.name), path) for path in root.iterdir()]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match and path.is_file())]


def is_ours(name: str) -> bool:
    """Whether an entry of the data set's folder is one that this format knows."""
    return _OURS.fullmatch(name) is not None


def safe_join(root: Path, name: str) -> Path:
    """Join a relative POSIX ``name`` to ``root``.

    Raises:
        InputError: the name could mean a place outside of ``root``, or could not exist on another system: ``..``,
            absolute paths, drives, UNC, ``~``, backslashes, control characters, a trailing dot or space, reserved
            Windows names, parts over 255 bytes, and symlinks that leave ``root``.
    """
    parts = name.split("/")
    reason = next((reason for part in parts if (reason := _problem(part))), None)
    if reason is None:
        path = root.joinpath(*parts)
        if path.resolve().is_relative_to(root.resolve()):
            return path
        reason = "it leads out of the folder through a symlink"
    raise InputError(
        f"The file name {name!r} is refused: {reason}. "
        f"Legal are names inside of {root} such as 'images/000/00000012.png'; restore the record that holds the name."
    )


def _place(index: int) -> str:
    return f"{index // PER_FOLDER:03d}/{index:08d}"


def _problem(part: str) -> str | None:
    """Why ``part`` cannot be one step of a path, or None."""
    if part in ("", ".", ".."):
        return "it is absolute or steps out of the folder"
    if part.startswith("~") or any(letter in '\\:*?"<>|' or ord(letter) < 32 for letter in part):
        return f"the part {part!r} has a character that some system reads as more than a name"
    if part[-1] in ". ":
        return f"the part {part!r} ends in a dot or space, which Windows drops"
    if _RESERVED.fullmatch(part):
        return f"the part {part!r} is a device on Windows"
    if len(part.encode("utf-8", "surrogatepass")) > 255:
        return f"a part is {len(part)} characters long; 255 bytes is the most that file systems take"
    return None
