"""Suffixes: what Diff-II puts behind a prompt in the first steps, one per line of a text file."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

LEGAL = "legal is a UTF-8 text file with one suffix per line, such as: flying over water"


def read_suffixes(file: str | Path) -> tuple[str, ...]:
    r"""Read a suffix file.

    Spaces around a line and between words are one space or none. Empty lines and lines that begin with "#" are left
    out. A line that stands twice is drawn twice as often.

    Args:
        file: UTF-8, with or without a byte order mark; any line ends.

    Returns:
        At least one suffix, in the order of the file.

    Raises:
        InputError: the file cannot be read, is no UTF-8 text, or holds no suffix.

    Example:
        >>> from pathlib import Path
        >>> written = Path("suffixes.txt").write_text("# what birds do\nflying over water\n\n on a  branch\r\n")
        >>> read_suffixes("suffixes.txt")
        ('flying over water', 'on a branch')
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"The suffix file {file} cannot be read ({error.strerror}); {LEGAL}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The suffix file {file} is no UTF-8 text ({error}); {LEGAL}.") from error
    suffixes = suffix_lines(text)
    if not suffixes:
        raise InputError(f"The suffix file {file} holds no suffix; {LEGAL}.")
    return suffixes


def suffix_lines(text: str) -> tuple[str, ...]:
    r"""The suffixes in a text, none where there is none.

    Example:
        >>> suffix_lines("# birds\nin snow\n\n  at   night ")
        ('in snow', 'at night')
    """
    lines = (" ".join(line.split()) for line in text.replace("\0", "").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
