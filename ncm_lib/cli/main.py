"""The entry point of ``ncm``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..errors import InputError, MissingExtraError
from .compare import Compare
from .convert_concepts import ConvertConcepts
from .demo import Demo
from .dip import ACTIONS, Dip
from .errors import BAD_INPUT, INTERRUPTED, TERMINATED, message
from .evaluate import Evaluate
from .export import Export
from .filter import Filter
from .generate import GenerateNoiseCutMix
from .generate_diff_ii import GenerateDiffII
from .generate_from_images import (
    GenerateDAFusion,
    GenerateDiffAug,
    GenerateDiffMix,
    GenerateRealGuidance,
    GenerateRealMix,
)
from .generate_sd_random import GenerateRealFilter, GenerateSDRandom
from .index import Index
from .invert import Invert
from .parsing import choose, overview, parse
from .preview import Preview
from .suffixes import Suffixes
from .termination import Terminated, terminable
from .train_classifier import TrainClassifier
from .train_concepts import TrainConcepts
from .verify import Verify


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make a soft-labelled data set by one of the methods.

    For example:

    - ncm generate noisecutmix --model demo --out aug --count 100
    - ncm generate diff-ii --model demo --pool pool --out aug
    - ncm generate diff-mix --model demo --data train --out aug
    """


_KEPT = "what is finished is kept, the same command continues"
"""What an interruption leaves behind where a command does not say something else."""
_DESCRIPTION = "Soft-labelled training images from a diffusion model."
_METHODS: dict[str, Any] = {
    "noisecutmix": GenerateNoiseCutMix,
    "diff-ii": GenerateDiffII,
    "diff-mix": GenerateDiffMix,
    "diff-aug": GenerateDiffAug,
    "da-fusion": GenerateDAFusion,
    "real-mix": GenerateRealMix,
    "real-guidance": GenerateRealGuidance,
    "real-filter": GenerateRealFilter,
    "sd-random": GenerateSDRandom,
}
_COMMANDS: dict[str, Any] = {
    "demo": Demo,
    "generate": Generate,
    "train-concepts": TrainConcepts,
    "train-classifier": TrainClassifier,
    "compare": Compare,
    "evaluate": Evaluate,
    "invert": Invert,
    "suffixes": Suffixes,
    "preview": Preview,
    "verify": Verify,
    "index": Index,
    "export": Export,
    "filter": Filter,
    "convert-concepts": ConvertConcepts,
    "dip": Dip,
}
_GROUPS: dict[str, tuple[dict[str, Any], str]] = {"generate": (_METHODS, "method"), "dip": (ACTIONS, "action")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes the process's own.

    Returns:
        0 done, 1 findings or failed samples, 2 bad input, 130 interrupted, 143 terminated.
    """
    command: Any = None
    try:
        with terminable():
            command = _parse(list(sys.argv[1:] if argv is None else argv))
            return command()
    except (InputError, MissingExtraError, ValidationError) as error:
        print(f"ncm: {message(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        ended, code = ("terminated", TERMINATED) if isinstance(error, Terminated) else ("interrupted", INTERRUPTED)
        left = "nothing had begun" if command is None else getattr(command, "interrupted", _KEPT)
        print(f"ncm: {ended}; {str(error) or left}", file=sys.stderr)
        return code


@dataclass(frozen=True)
class _Shown:
    """A text in the place of a command."""

    text: str
    code: int

    def __call__(self) -> int:
        """Show it."""
        print(self.text, file=sys.stderr if self.code else sys.stdout)
        return self.code


def _parse(words: list[str]) -> Callable[[], int]:
    """The command that the words mean, or the overview that they ask for."""
    if not words or words[0] in ("-h", "--help"):
        return _Shown(overview(_COMMANDS, "ncm", "COMMAND", _DESCRIPTION), code=0 if words else BAD_INPUT)
    name = choose(_COMMANDS, words, "ncm", "command")
    if name not in _GROUPS:
        return parse(_COMMANDS[name], f"ncm {name}", words[1:])
    # every method and every action has options of its own, so its name picks the parser
    table, what = _GROUPS[name]
    if len(words) == 1 or words[1] in ("-h", "--help"):
        text = overview(table, f"ncm {name}", what.upper(), (inspect.getdoc(_COMMANDS[name]) or ""))
        return _Shown(text, code=0 if words[1:] else BAD_INPUT)
    part = choose(table, words[1:], f"ncm {name}", what)
    return parse(table[part], f"ncm {name} {part}", words[2:])
