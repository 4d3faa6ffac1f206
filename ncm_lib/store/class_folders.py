"""Folder names for classes, whatever the classes are called."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)
_UNSAFE = frozenset('/\\:*?"<>|%\x7f')
_LONGEST = 200


def class_folders(names: Sequence[str]) -> tuple[str, ...]:
    r"""One folder name per class, by class id: safe on every system, and no two of them alike on any.

    An ordinary name stays as it is. Otherwise, in this order:

    1. Characters that some system does not take in a name are written as ``%XX``, their UTF-8 bytes: control
       characters, ``/ \ : * ? " < > |``, and ``%`` itself. So are a first ``.``, ``~``, space or, of ``__``, ``_``
       (loaders skip hidden folders and ``__folders``), a last ``.`` or space (Windows drops them), and the first
       letter of a Windows device (``con``, ``nul.txt``).
    2. ``%%ID``, with the class id, is put behind every name of a group that some file system takes for the same
       (``cat`` and ``Cat``; composed and decomposed ``é``), behind names longer than 200 bytes, cut to that, and behind
       no name at all.

    ``%%`` comes from rule 2 alone, and ``%`` with two digits from rule 1 alone: different classes never share a folder.

    Args:
        names: class names by class id; any text.

    Example:
        >>> class_folders(["robin", "black/white", "..", "con", "Cat", "cat"])
        ('robin', 'black%2Fwhite', '%2E%2E', '%63on', 'Cat%%4', 'cat%%5')
    """
    encoded = [_encoded(name) for name in names]
    alike = Counter(map(_folded, encoded))
    return tuple(
        _tagged(name, class_id) if not name or alike[_folded(name)] > 1 or _size(name) > _LONGEST else name
        for class_id, name in enumerate(encoded)
    )


def _encoded(name: str) -> str:
    last = len(name) - 1
    first_is_unsafe = name.startswith((".", "~", " ", "__")) or _DEVICE.fullmatch(name) is not None
    return "".join(
        _percent(letter)
        if letter in _UNSAFE
        or unicodedata.category(letter) in ("Cc", "Cs")
        or (place == 0 and first_is_unsafe)
        or (place == last and letter in ". ")
        else letter
        for place, letter in enumerate(name)
    )


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _folded(name: str) -> str:
    """What is left of a name where case, composition and invisible characters do not count."""
    visible = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).upper().casefold())


def _tagged(name: str, class_id: int) -> str:
    tag = f"%%{class_id}"
    whole = _size(name) + len(tag) <= _LONGEST
    return f"{name if whole else _cut(name, _LONGEST - len(tag))}{tag}"


def _cut(name: str, size: int) -> str:
    """The longest start of a name that fits, without half a character or half a ``%XX``."""
    start = name.encode("utf-8")[:size].decode("utf-8", "ignore")
    return start[: start.rindex("%")] if "%" in start[-2:] else start


def _size(name: str) -> int:
    return len(name.encode("utf-8"))
