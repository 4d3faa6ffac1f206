"""Suffixes by a program of the user's own, such as the client of a language model."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence

from ..errors import InputError
from ..plan.suffixes import suffix_lines

_BULLET = re.compile(r"^(?:[-*•]|[0-9]+[.)])(?:\s+|$)")


def suffixes_by_command(command: str, captions: Sequence[str], *, timeout: float | int = 600) -> tuple[str, ...]:
    r"""Run a program that reads captions and writes suffixes.

    No shell sees the command: it is split into words by shlex, and the first one is the program. It gets one caption
    per line on its standard input and writes one suffix per line; bullets and numbers in front of them are dropped.

    Args:
        command: the program and its arguments, as one would type them.
        captions: of the images, a line each.
        timeout: seconds until the program is ended.

    Returns:
        At least one suffix, in the program's order, each once.

    Raises:
        InputError: no program, or it failed, wrote nothing or no text, or took too long.

    Example:
        >>> import sys
        >>> suffixes_by_command(f"'{sys.executable}' -c \"print('1. in snow')\"", ["a wren in snow"])
        ('in snow',)
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"The command {command!r} cannot be split into words ({error}); close its quotes.") from error
    if not words:
        raise InputError("The command is empty; give a program and its arguments.")
    text = "".join(f"{' '.join(caption.split())}\n" for caption in captions)
    try:
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=timeout, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"The command {words[0]} was not done after {timeout:g} s and was ended; give it longer (--llm-timeout)."
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"The command {words[0]} cannot be started ({reason}); no shell is used, so it has to be a program."
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise InputError(f"The command {words[0]} failed with {how}: {said[-1] if said else 'it said nothing'}")
    try:
        lines = suffix_lines(done.stdout.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"The command {words[0]} wrote no UTF-8 text ({error}).") from error
    suffixes = tuple(dict.fromkeys(stripped for line in lines if (stripped := _BULLET.sub("", line))))
    if not suffixes:
        raise InputError(f"The command {words[0]} wrote no suffix; it has to write one per line on standard output.")
    return suffixes
