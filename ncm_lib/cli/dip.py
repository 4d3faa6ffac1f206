"""``ncm dip``: restoring images by a network that nobody has trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import tyro

from .dip_restore import DipDenoise, DipInpaint, DipReconstruct, DipSuperresolve
from .dip_study import DipStudy

ACTIONS: dict[str, Callable[..., Callable[[], int]]] = {
    "denoise": DipDenoise,
    "inpaint": DipInpaint,
    "superres": DipSuperresolve,
    "reconstruct": DipReconstruct,
    "study": DipStudy,
}


@dataclass(frozen=True, kw_only=True)
class Dip:
    """Restore images without any training data, or study what helps: the deep image prior.

    For example:

    - ncm dip denoise --help
    - ncm dip denoise noisy.png --out restored
    """

    action: tyro.conf.Positional[Literal["denoise", "inpaint", "superres", "reconstruct", "study"]]
    """What to do; its own --help lists every option."""

    def __call__(self) -> int:
        """Only reached without options behind the action: show them."""
        return parse_dip([self.action, "--help"])()


def parse_dip(words: list[str]) -> Callable[[], int]:
    """The command behind ``ncm dip``: its action and its options."""
    return tyro.cli(ACTIONS[words[0]], prog=f"ncm dip {words[0]}", args=words[1:])
