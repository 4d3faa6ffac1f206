"""``captions.jsonl``: what images show, in words, one line per image."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import InputError

LEGAL = 'legal is one object per line: {"caption": "a bird flying over water", "class": "robin", "content_hash": "..."}'


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A line of the file; only the caption has to be there."""

    caption: str
    class_name: str = ""
    content_hash: str = ""
    """sha256 of the image's file."""
    captioner: str = ""
    """Fingerprint of the model that wrote it."""

    def to_json(self) -> str:
        """The line, in ASCII, without a line break."""
        fields = asdict(self)
        return json.dumps({"class" if key == "class_name" else key: fields[key] for key in _KEYS.values()})


_KEYS = {"content_hash": "content_hash", "class": "class_name", "caption": "caption", "captioner": "captioner"}


def read_captions(file: str | Path) -> tuple[Caption, ...]:
    r"""Read captions, ours or of any other make.

    A torn last line, which a crash leaves, is left out. Other keys than ours are ignored.

    Args:
        file: JSON lines, UTF-8.

    Raises:
        InputError: the file cannot be read, or a line is no object with a caption; names file and line.

    Example:
        >>> from pathlib import Path
        >>> written = Path("captions.jsonl").write_text('{"caption": "a wren on a wall", "class": "wren"}\n{"capt')
        >>> read_captions("captions.jsonl")
        (Caption(caption='a wren on a wall', class_name='wren', content_hash='', captioner=''),)
    """
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"The captions {file} cannot be read ({error.strerror}); {LEGAL}.") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    captions: list[Caption] = []
    for number, line in enumerate(lines, 1):
        if not line.strip(b"\0 \t\r\n"):
            continue
        try:
            captions.append(_parsed(line))
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise InputError(f"{file} line {number} {error}; {LEGAL}.") from error
    return tuple(captions)


def _parsed(line: bytes) -> Caption:
    try:
        content: Any = json.loads(line.strip(b"\0 \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError("holds no object")
    given = cast("dict[str, Any]", content)
    fields = {field: given[key] for key, field in _KEYS.items() if key in given}
    if "caption" not in fields or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("has no text under 'caption', or something else than text under another of our keys")
    return Caption(**fields)


def caption_lines(captions: Iterable[Caption]) -> bytes:
    """The lines of a file."""
    return "".join(f"{caption.to_json()}\n" for caption in captions).encode("ascii")
