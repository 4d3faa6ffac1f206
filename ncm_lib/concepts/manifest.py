"""``concepts.json``: which class has which tokens in which file, and what they were learned with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..plan.files import read_json
from ..plan.plain_words import plain_words

_LEGAL = "expected is the concepts.json that ncm writes; restore it, or convert the concepts again"
_MODEL = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class HashedFile(BaseModel):
    """A file of the set."""

    model_config = _MODEL

    file: str
    """Relative to the folder."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ConceptClass(HashedFile):
    """A class, and the file of its vectors."""

    name: str
    tokens: tuple[str, ...] = Field(min_length=1)


class ConceptsFile(BaseModel):
    """The content of ``concepts.json``."""

    model_config = _MODEL

    format: Literal["ncm-concepts-1"] = "ncm-concepts-1"
    dataset: str
    base_model: str = ""
    base_fingerprint: str = ""
    resolution: int | None = Field(default=None, ge=1)
    meta_class: str = ""
    rank: int | None = None
    encoders: dict[str, int] = Field(min_length=1)
    """Text encoder -> width of its vectors."""
    lora: HashedFile | None = None
    classes: tuple[ConceptClass, ...] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path) -> ConceptsFile:
        """Read it.

        Raises:
            InputError: it cannot be read, or is not of format ncm-concepts-1; with the field that is wrong.
        """
        content = read_json(path, _LEGAL)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            words = plain_words(error, cls, content)
            raise InputError(f"{path} is not of format ncm-concepts-1: {words.rstrip('?')}; {_LEGAL}.") from error

    def to_bytes(self) -> bytes:
        """As it is written."""
        return f"{json.dumps(self.model_dump(mode='json'), indent=2)}\n".encode("ascii")
