"""From words on the command line to a command; what cannot be meant is refused in one line."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tyro

from ..errors import InputError

Command = Callable[..., Callable[[], int]]
_HELP = ("-h", "--help")
_WIDE = "4000"


def parse(kind: Command, prog: str, words: list[str]) -> Callable[[], int]:
    """The command that the words mean.

    Args:
        kind: the command's class.
        prog: what stands before the words, such as "ncm export".
        words: options and arguments.

    Raises:
        InputError: they do not fit; in one line.
        SystemExit: help was asked for and shown.
    """
    options: Any = {"prog": prog, "args": words, "description": _description(kind)}
    if any(word in _HELP for word in words):
        return tyro.cli(kind, **options)
    said = io.StringIO()
    try:
        with _unwrapped(), contextlib.redirect_stderr(said):
            return tyro.cli(kind, **options)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        # without the parser's own frames, which say nothing to a user
        raise InputError(_refusal(said.getvalue(), kind, prog, words)) from None


def choose(table: Mapping[str, Command], words: list[str], prog: str, what: str) -> str:
    """The first word, which names one of ``table``.

    Args:
        table: what there is.
        words: at least one.
        prog: what stands before them.
        what: a command, a method...

    Raises:
        InputError: there is no such name.
    """
    if words[0] in table:
        return words[0]
    near = difflib.get_close_matches(words[0], table, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(table)}."
    raise InputError(f"There is no {what} {words[0]!r} of {prog}; {hint}")


def overview(table: Mapping[str, Command], prog: str, what: str, title: str) -> str:
    """What there is, one line each.

    Args:
        table: name -> class, whose docstring begins with what it does.
        prog: what stands before the name.
        what: COMMAND, METHOD...
        title: of the whole.
    """
    width = max(map(len, table))
    lines = [f"  {name:{width}}  {_brief(kind)}" for name, kind in table.items()]
    return "\n".join(
        [f"usage: {prog} {what} ...", "", title, "", *lines, "", f"{prog} {what} --help has options and examples."]
    )


def _brief(kind: Command) -> str:
    """The first clause of a docstring."""
    first = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"[.:;](?: |$)", first, maxsplit=1)[0]


def _description(kind: Command) -> str:
    """A docstring as a terminal shows it best.

    Code blocks lose the line that only a page of documentation needs; tyro sets lists and code apart by itself.
    """
    text = re.sub(r"^ *\.\. code-block::.*\n\n?", "", inspect.getdoc(kind) or "", flags=re.MULTILINE)
    return re.sub(r"\n\n+(?=[^A-Za-z\n])", "\n", text)


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Make lines as long as they are, so that they can be read back."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDE
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def _refusal(said: str, kind: Command, prog: str, words: list[str]) -> str:
    """What tyro says in a box, with the help of options around it, in one line."""
    more = f"`{prog} --help` tells more."
    known = _known(kind)
    unknown = [name for word in words if re.match(r"--[A-Za-z]", word) and (name := _name(word)) not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"`{prog} --help` lists them."
        return f"There is no option {unknown[0]}; {hint}"
    lines = _first_part(said)
    if lines and lines[0].startswith("Missing from"):
        # the missing ones stand with an indent, their help with a larger one
        names = [line.split()[0] for line in lines if re.match(r" {4}\S", line)]
        named = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        return f"{named} {'are' if names[1:] else 'is'} missing; {more}"
    text = " ".join(line.strip() for line in lines)
    for pattern, own in _OWN_WORDS:
        if found := re.match(pattern, text):
            return f"{own(found, words, said)}; {more}"
    # a message of our own may begin with the option already
    text = re.sub(r"^(--\S+): (?=\1 )", "", text.removeprefix("Error parsing "))
    return f"{text.rstrip('.')}; {more}"


def _first_part(said: str) -> list[str]:
    """The lines between the first rule and the second, without the borders of the box."""
    lines = [re.sub(r"^[│|]? ?", "", re.sub(r"[ │|]+$", "", line)) for line in said.splitlines()]
    rules = [place for place, line in enumerate(lines) if re.fullmatch(r" ?[─-]{3,}|[╭╰].*", line)]
    first = rules[0] + 1 if rules else 0
    part = lines[first : rules[1]] if rules[1:] else lines[first:]
    indent = min((len(line) - len(line.lstrip()) for line in part if line), default=0)
    return [line[indent:] for line in part if line]


def _bad_choice(found: re.Match[str], *_: object) -> str:
    value, name, choices = found.groups()
    legal = re.findall(r"'([^']*)'", choices)
    near = difflib.get_close_matches(value, legal, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"{name} is {value!r}{meant}; it takes {' or '.join([', '.join(legal[:-1]), legal[-1]])}"


def _bad_value(found: re.Match[str], words: list[str], said: str) -> str:
    name = found[1].split("/")[0]
    given = [word for word in words if _name(word) == name]
    value = given[-1].partition("=")[2] if given else ""
    if given and not value:
        value = words[len(words) - words[::-1].index(given[-1])]
    kinds = {"INT": "a whole number", "FLOAT": "a number"}
    kind = re.search(rf"{re.escape(found[1])}.*?\b({'|'.join(kinds)})\b", said)
    return f"{name} is {value!r}; it takes {kinds[kind[1]] if kind else 'another kind of value'}"


_OWN_WORDS: list[tuple[str, Callable[..., str]]] = [
    (r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of (.*)", _bad_choice),
    (r"Missing value for argument '(.*?)'", lambda found, *_: f"{found[1].split('/')[0]} has no value"),
    (r"Unrecognized options: (.*)", lambda found, *_: f"{found[1]!r} is one argument too many"),
    (r"Error parsing (\S+): (?:could not convert|no type matching|invalid literal)", _bad_value),
]
"""What tyro says of a single option -> how we say it."""


def _name(word: str) -> str:
    """The option of a word, as help spells it."""
    return word.partition("=")[0].replace("_", "-")


def _known(kind: Command) -> list[str]:
    """The options that help lists."""
    shown = io.StringIO()
    with _unwrapped(), contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog="x", args=["--help"])
    heads = re.findall(r"^[│| ]{1,3}(-\S.*?)(?: {2}|$)", shown.getvalue(), re.MULTILINE)
    return sorted({name for head in heads for name in re.findall(r"--[A-Za-z][\w-]*", head)})
