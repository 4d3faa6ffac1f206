"""``dataset.json``: what a data set is, and what made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..errors import InputError
from ..plan.differences import differences
from ..plan.files import parse_model
from .disk import replace_bytes
from .layout import MANIFEST, ImageFormat


class Manifest(BaseModel):
    """The head of a data set. Two hashes decide whether a run may go on; the plain fields show what differs."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=())

    format: Literal["ncm-1"] = "ncm-1"
    classes: tuple[str, ...] = Field(min_length=1)
    """Class names; a class id is a position in this list."""
    meta_class: str = ""
    method: str
    config: dict[str, JsonValue]
    """The method's resolved config."""
    seed: int = Field(ge=0)
    plan_hash: str
    """Fixes labels, masks and noise."""
    render_hash: str | None = None
    """Fixes the pixels beyond the plan; null where the renderer cannot know its model (a ComfyUI graph)."""
    render: dict[str, JsonValue] = Field(default_factory=dict)
    """The settings behind ``render_hash``."""
    model_fingerprint: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that made the data set."""
    batch_shape: int = Field(ge=1)
    count: int = Field(ge=1)
    """Target size: the samples are 0..count-1."""
    image_format: ImageFormat = "png"

    @classmethod
    def read(cls, root: Path) -> Manifest:
        """Read ``root/dataset.json``.

        Raises:
            InputError: it is missing, torn, or not of format ncm-1.
        """
        path = root / MANIFEST
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{root} is no data set: {MANIFEST} cannot be read ({error.strerror}). "
                "Give the folder that a generation wrote (it holds dataset.json, metadata.jsonl and images/)."
            ) from error
        return parse_model(
            data,
            cls,
            what=f"{path} is not a data set's head of format ncm-1",
            remedy="Restore the file from a copy, or generate into a new folder.",
        )

    def write(self, root: Path, rank: int = 0) -> None:
        """Write ``root/dataset.json`` atomically."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=True, allow_nan=False)
        replace_bytes(root / MANIFEST, f"{text}\n".encode("ascii"), rank)


def refuse_empty(root: Path, manifest: Manifest, filled: bool, more: str = "") -> None:
    """InputError where a data set has a head and nothing behind it.

    Args:
        root: its folder.
        manifest: its head.
        filled: whether there is a finished sample.
        more: what else is known.
    """
    if not filled:
        raise InputError(
            f"{root} is a data set without a finished sample ({manifest.count} planned). "
            f"Run the generation that made the folder again. {more}".rstrip()
        )


def difference(there: Manifest, here: Manifest) -> list[str]:
    """What keeps a run from going on with a data set, one line per field; empty when it may go on.

    A different ``count`` is none of it. Where the hashes agree, only the image format can differ in earnest; where
    they do not, every field that differs is named, and the hashes themselves when no field explains them.
    """
    keys = ("format", "plan_hash", "render_hash", "image_format", "classes")
    if all(getattr(there, key) == getattr(here, key) for key in keys):
        return []
    ours, theirs = (dict(_flat(side.model_dump(mode="json", exclude={"count"}))) for side in (here, there))
    lines = differences(theirs, ours, "the data set")
    plain = [line for key, line in lines.items() if key not in ("plan_hash", "render_hash")]
    return plain or list(lines.values())


def continued(path: Path, there: Manifest, here: Manifest) -> Manifest:
    """The manifest with which a run goes on with a data set: that of the folder, with the larger count.

    Args:
        path: the data set's folder, for messages.
        there: its manifest.
        here: what the run would make.

    Raises:
        InputError: they make different data sets, field by field, or the run asks for fewer samples.
    """
    if lines := difference(there, here):
        listed = "\n".join(f"  {line}" for line in lines)
        raise InputError(
            f"{path} holds another data set than this run would make:\n{listed}\n"
            "Take a new folder for this run, or give the settings that the data set has; nothing was changed here."
        )
    if here.count < there.count:
        raise InputError(
            f"{path} is a data set of {there.count} samples, and this run asks for {here.count}: "
            f"a data set can grow but not shrink. Ask for {there.count} or more, or take a new folder."
        )
    return there.model_copy(update={"count": here.count})


def _flat(value: JsonValue, name: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Leaves of nested objects by dotted name; the class list by position."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and name == "classes":
        for position, inner in enumerate(value):
            yield f"{name}[{position}]", inner
    else:
        yield name, value
