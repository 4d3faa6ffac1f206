"""The entry point of ``ncm``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tyro
from pydantic import ValidationError

from ..errors import InputError, MissingExtraError
from .compare import Compare
from .convert_concepts import ConvertConcepts
from .demo import Demo
from .dip import ACTIONS, Dip, parse_dip
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
from .preview import Preview
from .suffixes import Suffixes
from .termination import Terminated, terminable
from .train_classifier import TrainClassifier
from .train_concepts import TrainConcepts
from .verify import Verify

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes the process's own.

    Returns:
        0 done, 1 findings or failed samples, 2 bad input, 130 interrupted, 143 terminated.
    """
    try:
        with terminable():
            return _parse(list(sys.argv[1:] if argv is None else argv))()
    except (InputError, MissingExtraError, ValidationError) as error:
        print(f"ncm: {message(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        ended, code = ("terminated", TERMINATED) if isinstance(error, Terminated) else ("interrupted", INTERRUPTED)
        print(f"ncm: {ended}; {str(error) or 'finished samples are kept, the same command continues'}", file=sys.stderr)
        return code


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make a soft-labelled data set by one of the methods.

    For example:

    - ncm generate noisecutmix --model demo --out aug --count 100
    - ncm generate diff-ii --model demo --pool pool --out aug
    - ncm generate diff-mix --model demo --data train --out aug
    """

    method: tyro.conf.Positional[
        Literal[
            "noisecutmix", "diff-ii", "diff-mix", "diff-aug", "da-fusion", "real-mix", "real-guidance", "real-filter",
            "sd-random",
        ]
    ]  # fmt: skip
    """The method; its own --help lists every option."""

    def __call__(self) -> int:
        """Only reached without options behind the method: show them."""
        return _parse(["generate", self.method, "--help"])()


def _parse(argv: list[str]) -> Callable[[], int]:
    # every method has its own options, so the word behind "generate" picks the parser
    if argv[:1] == ["generate"] and len(argv) > 2 and argv[1] in _METHODS:
        name = argv[1]
        return tyro.cli(_METHODS[name], prog=f"ncm generate {name}", args=argv[2:])
    if argv[:1] == ["dip"] and len(argv) > 2 and argv[1] in ACTIONS:
        return parse_dip(argv[1:])
    commands = {
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
    return tyro.extras.subcommand_cli_from_dict(commands, prog="ncm", description=_DESCRIPTION, args=argv)
