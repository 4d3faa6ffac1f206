"""Where the bytes of listed images are: a numbered collection of files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from array import array
from pathlib import Path

from .images import BadImageError

MAX_BYTES = 2**30
"""A file that is larger is no photograph; it is refused instead of being read into memory."""


class ImageFiles(ABC):
    """The files of a source by position 0..n-1; what each form of source (folder, tar, table) fills in.

    It knows where it was found, and only reading needs that: nothing of it goes into hashes or data sets.
    """

    sequential: bool = False
    """Read best in order and by one thread."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, position: int) -> bytes:
        """The whole file; BadImageError where it cannot be read."""

    @abstractmethod
    def name(self, position: int) -> str:
        """What messages call it."""


class Names:
    """Text in a column: a million short names take a few tens of megabytes.

    Example:
        >>> names = Names()
        >>> names.add("robin/1.jpg")
        >>> len(names), names[0]
        (1, 'robin/1.jpg')
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, position: int) -> str:
        start = self._ends[position - 1] if position else 0
        return os.fsdecode(bytes(self._text[start : self._ends[position]]))

    def add(self, name: str) -> None:
        """Put a name behind the others."""
        self._text += os.fsencode(name)
        self._ends.append(len(self._text))


class LooseFiles(ImageFiles):
    """Files of their own; names are relative to ``root``, or absolute."""

    def __init__(self, root: Path, names: Names) -> None:
        self._root = root
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def read(self, position: int) -> bytes:
        """The whole file."""
        return read_file(self._root / self._names[position])

    def name(self, position: int) -> str:
        """Its path."""
        return str(self._root / self._names[position])


def read_file(path: Path) -> bytes:
    """A whole regular file.

    Raises:
        BadImageError: it is not there, may not be read, is no regular file, or is larger than ``MAX_BYTES``.
    """
    try:
        if not path.is_file():  # opening a pipe would wait forever
            raise BadImageError("is not a file" if path.exists() else "is not there")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise BadImageError(f"has {size:,} bytes; {MAX_BYTES:,} is the most for an image")
            return file.read()
    except (OSError, ValueError) as error:
        raise BadImageError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
