"""An image folder: one sub-folder per class, and images at any depth below it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..errors import InputError
from .files import LooseFiles, Names
from .images import is_image
from .labels import LabelColumn
from .notes import Tally, listed, printable
from .scan import Scan

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".jp2", ".jxl",
})  # fmt: skip
"""A file of such a name means to be an image, even where it cannot be read as one; others are looked into."""

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""What sub-folders and shards are called that hold parts of a data set, not classes."""

_Places = frozenset[tuple[int, int]]


@dataclass
class Walk:
    """Walks below a folder in the order of names, and notes what it leaves out."""

    root: Path
    known: frozenset[str] = frozenset()
    """Names in the root that are passed over without a note."""
    notes: Tally = field(default_factory=Tally)
    problems: list[str] = field(default_factory=list[str])

    def top(self) -> tuple[list[str], list[str]]:
        """The visible folders directly in the root, and what else is visible there, by name; links are followed."""
        entries = [entry for entry, _ in self._entries("")]
        folders = [entry.name for entry in entries if is_folder(entry)]
        return folders, [entry.name for entry in entries if not is_folder(entry)]

    def images(self, start: str) -> Iterator[str]:
        """The images at any depth below ``start``, relative to the root.

        Hidden entries, links that lead back to a folder they are in, and files that are no image and are not named
        like one are counted in ``notes``; folders that cannot be opened go to ``problems``.
        """
        waiting: list[tuple[str, _Places]] = [(start, frozenset([_identity(self.root)] if start else []))]
        while waiting:
            folder, above = waiting.pop()
            place = _identity(self.root / folder)
            if place in above:
                self.notes.add("links back to a folder that they are in, not followed", folder)
                continue
            below: list[tuple[str, _Places]] = []
            for entry, name in self._entries(folder):
                if is_folder(entry):
                    below.append((name, above | {place}))
                elif self._wanted(entry, name):
                    yield name
            waiting += reversed(below)

    def _entries(self, folder: str) -> list[tuple[os.DirEntry[str], str]]:
        try:
            with os.scandir(self.root / folder) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.problems.append(f"the folder {printable(str(self.root / folder))} cannot be opened ({error.strerror})")
            return []
        visible: list[tuple[os.DirEntry[str], str]] = []
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if name in self.known:
                continue
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                self.notes.add("hidden files and folders, left out", name)
            else:
                visible.append((entry, name))
        return visible

    def _wanted(self, entry: os.DirEntry[str], name: str) -> bool:
        named_so = PurePath(entry.name).suffix.lower() in IMAGE_SUFFIXES
        if entry.is_symlink() and not (self.root / name).exists():
            if not named_so:
                self.notes.add("links that lead nowhere, left out", name)
            return named_so  # reading it will say what is wrong
        if not entry.is_file():
            self.notes.add("pipes, sockets and devices, left out", name)
            return False
        if named_so or is_image(entry.path):
            return True
        self.notes.add("files that are no images, left out", name)
        return False


def scan_folder(root: Path) -> Scan:
    """Read a folder with one sub-folder per class.

    The class of an image is the sub-folder of ``root`` that it is in, however deep. An empty sub-folder is a class
    without images. What stands directly in ``root`` belongs to no class and is left out.

    Raises:
        InputError: there are no sub-folders, or they are named like the splits of a data set.
    """
    walk = Walk(root)
    names, labels = Names(), LabelColumn()
    classes, beside = walk.top()
    if not classes:
        _refuse_flat(root, beside)
    splits = [name for name in classes if name.lower() in SPLITS and not _holds_files(root / name)]
    if len(splits) > 1 or splits == classes:
        raise InputError(
            f"The sub-folders {listed(splits)} of {root} look like the splits of a data set, not like classes; give "
            f"one of them, as {root / splits[0]} or with split={splits[0]!r}."
        )
    for name in beside:
        walk.notes.add("files beside the class folders, left out", name)
    for name in classes:
        if not name.isprintable():
            raise InputError(f"The folder name {name!a} in {root} is no readable text; rename the folder.")
        labels.declare(name)
        for image in walk.images(name):
            names.add(image)
            labels.add(name)
            if image.count("/") > 1:
                walk.notes.add("images in sub-folders of a class folder, whose class they are", image)
    return Scan(
        form="image folder",
        files=LooseFiles(root, names),
        labels=labels.ordered(),
        notes=walk.notes.lines(),
        problems=tuple(walk.problems),
        digits_are_names=True,
    )


def _refuse_flat(root: Path, files: list[str]) -> None:
    pictures = [name for name in files if PurePath(name).suffix.lower() in IMAGE_SUFFIXES]
    raise InputError(
        f"{root} has no sub-folders, so it holds no classes"
        + (f", and {len(pictures)} images that nothing labels" if pictures else "")
        + ". Legal: one sub-folder per class; images and a metadata.csv or metadata.jsonl with the columns file_name "
        "and label; a saved datasets folder; .parquet, .arrow or .tar files."
    )


def _holds_files(folder: Path) -> bool:
    try:
        return any(entry.is_file() and not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError:
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino
