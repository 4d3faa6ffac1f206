"""What every method is: a frozen config whose plan is a pure function of itself and the index."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.plain_words import plain_words
from ..plan.sample import PlanTable, Sample

MethodT = TypeVar("MethodT", bound="Method")

PLAN_VERSION = 1
"""Raised whenever the same config would plan other samples than before."""


class Method(BaseModel, ABC):
    """A method *plans*: it turns (config, index) into one sample description; the engine does the rest.

    ``seed`` and the grid belong to the config, so that a plan depends on nothing else. ``generate`` fills the grid in
    from the model and the image size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: ClassVar[str]
    default_scheduler: ClassVar[str] = "dpmsolver++"
    """What the method's paper denoises with."""

    classes: ClassList
    seed: int = Field(default=0, ge=0, lt=2**63)
    latent_height: int = Field(default=64, ge=1)
    latent_width: int = Field(default=64, ge=1)
    latent_cell: int = Field(default=8, ge=1)
    """Image pixels along one side of a latent cell."""

    @abstractmethod
    def plan(self, start: int, stop: int) -> PlanTable:
        """Plan the samples ``start..stop-1`` as NumPy columns; row i is the same whatever the range around it."""

    @classmethod
    def checked(cls: type[MethodT], **fields: Any) -> MethodT:
        """The config with these fields.

        Raises:
            InputError: one of them is unknown, or its value is not legal; in one line.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            raise InputError(f"{plain_words(error, cls, fields)}.".replace("?.", "?")) from error

    def plan_one(self, index: int) -> Sample:
        """Sample ``index`` of the plan."""
        return self.plan(index, index + 1)[0]

    def resolved(self: MethodT, *, seed: int, latent_height: int, latent_width: int, latent_cell: int) -> MethodT:
        """This config with the seed and the grid of one run filled in."""
        grid = {"latent_height": latent_height, "latent_width": latent_width, "latent_cell": latent_cell}
        return type(self).model_validate(dict(self) | grid | {"seed": seed})

    def config(self) -> dict[str, Any]:
        """The resolved config as JSON values, without the class list (``dataset.json`` has that beside it)."""
        return self.model_dump(mode="json", exclude={"classes"})

    def plan_hash(self) -> str:
        """sha256 over everything that fixes labels, masks and noise; equal hashes mean equal plans."""
        content = {
            "plan_version": PLAN_VERSION,
            "method": self.name,
            "classes": self.classes.to_json(),
            "config": self.config(),
        }
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def check_range(start: int, stop: int) -> None:
    """InputError unless ``0 <= start <= stop``."""
    if not 0 <= start <= stop:
        raise InputError(f"A plan of the samples {start}..{stop} was asked for; legal is 0 <= start <= stop.")
