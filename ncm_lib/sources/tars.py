"""WebDataset shards: uncompressed tar files in which the members of one sample share their name."""

from __future__ import annotations

import json
import re
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import InputError
from .files import MAX_BYTES, ImageFiles, Names
from .images import BadImageError
from .labels import Label, LabelColumn
from .notes import Tally, listed, printable
from .scan import Scan
from .table import ID_COLUMNS, NAME_COLUMNS

_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "avif"})
_LABELS = ("cls", "json", "txt")
_LABEL_BYTES = 2**20
_BLOCK = 512  # bytes of a header


class TarFiles(ImageFiles):
    """Members of tar files, read where they stand; nothing is ever unpacked."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._names = Names()
        self._tars = array("i")
        self._offsets = array("q")
        self._sizes = array("q")

    def __len__(self) -> int:
        return len(self._names)

    def add(self, tar: int, member: _Member) -> None:
        """Put a member of the tar with this number behind the others."""
        self._names.add(member.name)
        self._tars.append(tar)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)

    def read(self, position: int) -> bytes:
        """The bytes of a member."""
        size = self._sizes[position]
        if size > MAX_BYTES:
            raise BadImageError(f"has {size:,} bytes; {MAX_BYTES:,} is the most for an image")
        try:
            with self._paths[self._tars[position]].open("rb") as file:
                file.seek(self._offsets[position])
                return file.read(size)
        except OSError as error:
            raise BadImageError(f"cannot be read ({error.strerror})") from error

    def name(self, position: int) -> str:
        """Shard and member."""
        return f"{self._paths[self._tars[position]]}, {self._names[position]}"


@dataclass(frozen=True, kw_only=True)
class _Member:
    name: str
    key: str
    """What the members of one sample share: the name up to the first dot of its last part."""
    kind: str
    """What is behind that dot, in lower case."""
    offset: int
    size: int


_Whole = tuple[_Member, Label, str]
"""An image, its label, and the kind of member that the label came from."""


@dataclass
class _Sample:
    image: _Member | None = None
    label: Label | None = None
    kind: str = ""

    def take(self, label: Label | None, kind: str) -> None:
        """Take this label, unless there is one of a kind that goes before it."""
        if label is not None and (self.label is None or _LABELS.index(kind) < _LABELS.index(self.kind)):
            self.label, self.kind = label, kind

    def whole(self) -> _Whole | None:
        return None if self.image is None or self.label is None else (self.image, self.label, self.kind)


def scan_tars(paths: tuple[Path, ...]) -> Scan:
    """Read WebDataset shards: images, each with its label in a ``.cls``, ``.json`` or ``.txt`` of the same name.

    ``.cls`` (a number or a name) goes before ``.json`` (an object with a label under one of the names that tables use),
    and that before ``.txt`` (a name). Members that are neither are left out.

    Raises:
        InputError: a shard is damaged or compressed, an image has no label, or two images share a name.
    """
    files, labels, left_out, kinds = TarFiles(paths), LabelColumn(), Tally(), set[str]()
    for tar, path in enumerate(paths):
        for image, label, kind in _samples(path, left_out):
            files.add(tar, image)
            labels.add(label)
            kinds.add(kind)
    if not len(files):
        raise InputError(f"{', '.join(map(str, paths))} holds no images.")
    return Scan(
        form="WebDataset",
        files=files,
        labels=labels.ordered(),
        notes=left_out.lines(),
        may_be_captions="txt" in kinds,
    )


def _samples(path: Path, left_out: Tally) -> Iterator[_Whole]:
    """The samples of a shard: each as soon as a member of another one follows, or at the end."""
    unfinished: dict[str, _Sample] = {}
    last = ""
    with path.open("rb") as content:
        for member in _members(path):
            if member.key != last and (whole := unfinished.get(last, _Sample()).whole()):
                del unfinished[last]
                yield whole
            last = member.key
            sample = unfinished.setdefault(member.key, _Sample())
            if member.kind in _LABELS:
                sample.take(_label(content, member, path), member.kind)
            elif member.kind not in _IMAGES:
                left_out.add("members that are neither images nor labels, left out", f"{path.name}, {member.name}")
            elif sample.image is None:
                sample.image = member
            else:
                raise InputError(
                    f"{path} has two images of one sample, {printable(sample.image.name)} and "
                    f"{printable(member.name)}; give one of them another name."
                )
    yield from (whole for sample in unfinished.values() if (whole := sample.whole()))
    without = [sample.image.name for sample in unfinished.values() if sample.image and sample.label is None]
    if without:
        raise InputError(
            f"{path} has images without a label: {len(without)} ({listed(without)}). Put a .cls (number or name), "
            f".json (with {NAME_COLUMNS[0]!r}) or .txt (name) of the same name beside each."
        )


def _members(path: Path) -> Iterator[_Member]:
    try:
        with tarfile.open(path, "r:") as tar:
            kept: list[tarfile.TarInfo] = vars(tar)["members"]
            while (info := tar.next()) is not None:
                kept.clear()  # else it holds a kilobyte for each
                name = info.name.removeprefix("./")
                parts = name.split("/")
                if not info.isreg() or any(part.startswith(".") or part == "__MACOSX" for part in parts):
                    continue
                stem, _, kind = parts[-1].partition(".")
                key = "/".join((*parts[:-1], stem))
                yield _Member(name=name, key=key, kind=kind.lower(), offset=info.offset_data, size=info.size)
            end = tar.offset
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as an uncompressed tar file ({error}); unpack .gz, .bz2 and .xz files first, or "
            "make the shard again."
        ) from error
    with path.open("rb") as file:  # tarfile takes a damaged header for the end
        file.seek(end)
        if file.read(_BLOCK).strip(b"\0"):
            raise InputError(f"{path} is damaged near byte {end}; make the shard again.")


def _label(content: Any, member: _Member, path: Path) -> Label | None:
    where = f"{path}, {printable(member.name)}"
    if member.size > _LABEL_BYTES:
        raise InputError(f"{where} has {member.size:,} bytes: no label is so long.")
    content.seek(member.offset)
    try:
        text = content.read(member.size).decode("utf-8-sig").strip()
        value: Any = json.loads(text) if member.kind == "json" else text
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be read as {member.kind} in UTF-8 ({error}).") from error
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        value = next((fields[name] for name in (*NAME_COLUMNS, *ID_COLUMNS) if name in fields), None)
        if value is None:
            return None
    if isinstance(value, str) and value and not re.search(r"[\r\n]", value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InputError(f"{where} holds {str(value)[:80]!r}; legal is a class's name on one line, or its number.")
