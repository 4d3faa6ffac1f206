"""The classes of a data set: names in label order, and what they are kinds of."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import InputError
from .files import read_json

_LEGAL = (
    'legal: a JSON file {"classes": [...], "meta_class": "bird"}, a text file (.txt) with a name per line, a folder '
    "with one sub-folder per class, names a,b,c (two at least), or the name of a benchmark (cub-200, oxford-flowers...)"
)
_BENCHMARKS = Path(__file__).with_name("class_lists")
"""What published data sets call their classes, in the order of their labels."""


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """Class names in the order of their ids, and the metaclass that prompts put behind them ("bird", or "").

    ``tokens`` are the learned concept words of the classes where there are any; prompts then use them instead of the
    names. Names are kept as given: labels never depend on how a name could be written as a file name.

    Example:
        >>> birds = ClassList.of(["robin", "wren"], meta_class="bird")
        >>> len(birds), birds.id_of("wren")
        (2, 1)
    """

    names: tuple[str, ...]
    meta_class: str = ""
    tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"The class list is empty; {_LEGAL}.")
        for position, name in enumerate(self.names):
            if not name.strip() or any(unicodedata.category(letter) == "Cc" for letter in name):
                raise InputError(
                    f"Class {position} has the name {name!r}; a name needs visible characters on one line."
                )
        seen: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if name in seen:
                raise InputError(
                    f"The class name {name!r} stands twice, as class {seen[name]} and class {position}; "
                    "every class needs its own name."
                )
            seen[name] = position
        if self.tokens and len(self.tokens) != len(self.names):
            raise InputError(f"{len(self.tokens)} tokens for {len(self.names)} classes; give one per class, or none.")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, names: Iterable[str], meta_class: str = "") -> ClassList:
        """A class list of these names, in this order."""
        return cls(names=tuple(names), meta_class=meta_class)

    @classmethod
    def load(cls, source: str | Path) -> ClassList:
        """Read a class list.

        Args:
            source: a JSON file ``{"classes": [...], "meta_class": "bird"}`` (``tokens`` optional, one per class), a
                text file ``.txt`` with a name per line, an image folder (its visible sub-folders in sorted order are
                the classes), names ``"a,b,c"``, or a benchmark: cub-200, fgvc-aircraft, oxford-flowers, oxford-pets,
                stanford-cars, waterbirds.

        Raises:
            InputError: nothing is there, the JSON has another form, or a name stands twice.

        Example:
            >>> pets = ClassList.load("oxford-pets")
            >>> len(pets), pets.names[0], pets.meta_class
            (37, 'Abyssinian', 'pet')
        """
        path = Path(source)
        if _exists(path):
            if path.is_dir():
                return cls._from_folder(path)
            return cls._from_lines(path) if path.suffix.lower() == ".txt" else cls._from_json(path)
        text = str(source)
        if isinstance(source, str) and text in {file.stem for file in _BENCHMARKS.glob("*.json")}:
            return cls._from_json(_BENCHMARKS / f"{text}.json")
        looks_like_a_path = isinstance(source, Path) or text.endswith((".json", "/", "\\"))
        if looks_like_a_path or "," not in text:
            raise InputError(f"There is no class list at {text!r}; {_LEGAL}.")
        return cls.of(name.strip() for name in text.split(","))

    @classmethod
    def _from_folder(cls, folder: Path) -> ClassList:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if not names:
            raise InputError(f"The folder {folder} has no sub-folders, so it holds no classes; {_LEGAL}.")
        return cls.of(names)

    @classmethod
    def _from_lines(cls, file: Path) -> ClassList:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read as text ({error}); {_LEGAL}.") from error
        return cls.of(name for line in lines if (name := line.strip()))

    @classmethod
    def _from_json(cls, file: Path) -> ClassList:
        content = read_json(file, _LEGAL)
        if not isinstance(content, dict):
            raise InputError(f"{file} holds a {type(content).__name__}, not an object; {_LEGAL}.")
        fields = cast("dict[str, Any]", content)
        unknown = sorted(fields.keys() - {"classes", "meta_class", "tokens"})
        if unknown:
            raise InputError(f"{file} has the unknown keys {unknown}; known: classes, meta_class, tokens.")
        names, tokens = _text_list(fields.get("classes")), _text_list(fields.get("tokens", []))
        meta_class = fields.get("meta_class", "")
        if names is None or tokens is None or not isinstance(meta_class, str):
            raise InputError(f"{file} does not have the form of a class list; {_LEGAL}.")
        return cls(names=tuple(names), meta_class=meta_class, tokens=tuple(tokens))

    def id_of(self, name: str) -> int:
        """The id of the class ``name``; InputError with the nearest names when there is none."""
        if name in self.names:
            return self.names.index(name)
        near = difflib.get_close_matches(name, self.names, n=3, cutoff=0.4)
        more = ", ..." if len(self) > 5 else ""
        which = f"near: {', '.join(near)}" if near else f"there are: {', '.join(self.names[:5])}{more}"
        raise InputError(f"There is no class {name!r} among the {len(self)} classes; {which}.")

    def order_of(self, names: Sequence[str], where: str) -> list[int]:
        """Find every class in a list of names that has each of them once, in whatever order.

        Args:
            names: the list.
            where: whose names they are, for the message.

        Returns:
            One position in ``names`` per class, in the order of the class ids.

        Raises:
            InputError: a class is missing, a name is none of the classes', or a name stands twice; all by name.

        Example:
            >>> ClassList.of(["robin", "wren"]).order_of(["wren", "robin"], "counts.csv")
            [1, 0]
        """
        position = {name: place for place, name in enumerate(names)}
        faults = {
            "has no": [name for name in self.names if name not in position],
            "has the unknown": [name for name in position if name not in self.names],
            "has twice": [name for place, name in enumerate(names) if position[name] != place],
        }
        if any(faults.values()):
            listed = "; ".join(f"{what} {_some(wrong)}" for what, wrong in faults.items() if wrong)
            raise InputError(
                f"{where} {listed}. It needs each of the {len(self)} classes once, written as in the class list: "
                f"{_some(self.names)}."
            )
        return [position[name] for name in self.names]

    def to_json(self) -> dict[str, Any]:
        """The content of the JSON file that ``load`` reads back."""
        content: dict[str, Any] = {"classes": list(self.names), "meta_class": self.meta_class}
        return content | ({"tokens": list(self.tokens)} if self.tokens else {})


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a list of names can be longer than any path may be
        return False


def _text_list(value: Any) -> list[str] | None:
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in cast("list[Any]", value))
    return cast("list[str]", value) if is_list else None
