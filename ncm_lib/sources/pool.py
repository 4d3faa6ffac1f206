"""A pool of inverted images on disk: what Diff-II starts from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.files import parse_model
from ..plan.pool import PoolListing
from ..typing import Float32

HEAD = "pool.json"


class PoolHead(BaseModel):
    """``pool.json``: which model inverted the images, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["ncm-pool-1"] = "ncm-pool-1"
    classes: tuple[str, ...] = Field(min_length=1)
    meta_class: str = ""
    tokens: tuple[str, ...] = ()
    prompt: str
    model_fingerprint: str
    num_inference_steps: int = Field(ge=1)
    timestep_spacing: Literal["trailing", "leading"]
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    dtype: str

    @property
    def class_list(self) -> ClassList:
        """The classes that the images were inverted under."""
        return ClassList(names=self.classes, meta_class=self.meta_class, tokens=self.tokens)

    @classmethod
    def read(cls, path: Path) -> PoolHead:
        """Read ``path/pool.json``.

        Raises:
            InputError: it is missing, or not of format ncm-pool-1.
        """
        file = path / HEAD
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} is no pool of inversions: {HEAD} cannot be read ({error.strerror}). `ncm invert` makes one."
            ) from error
        return parse_model(
            data,
            cls,
            what=f"{file} is not a pool's head of format ncm-pool-1",
            remedy="Restore the file from a copy, or run `ncm invert` into a new folder.",
        )


def class_file(class_id: int) -> str:
    """``class-00003.safetensors``: the inversions of one class, a tensor [c, h, w] per content hash."""
    return f"class-{class_id:05d}.safetensors"


class InversionPool:
    """Inverted images, class by class, each by the content hash of its image.

    Args:
        path: folder that ``ncm invert`` wrote.

    Raises:
        InputError: no pool there, or a class's file is missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.head = PoolHead.read(self.path)
        self._files: dict[str, Any] = {}
        images: list[tuple[str, ...]] = []
        for class_id in range(len(self.head.classes)):
            file = self.path / class_file(class_id)
            handle = open_tensors(file)
            names = tuple(sorted(handle.keys()))
            self._files.update(dict.fromkeys(names, handle))
            images.append(names)
        self.listing = PoolListing(images=tuple(images))

    @property
    def classes(self) -> ClassList:
        """The classes that the images were inverted under."""
        return self.head.class_list

    def __reduce__(self) -> tuple[type[InversionPool], tuple[Path]]:
        """Pickled by its place: a process elsewhere opens the same files."""
        return InversionPool, (self.path.absolute(),)

    def latent(self, content_hash: str) -> Float32[Tensor, "c h w"]:
        """The inversion of an image: noise of about unit variance that denoises to it.

        Raises:
            InputError: the image is not in the pool, or its tensor cannot be read or is not finite.
        """
        if content_hash not in self._files:
            raise InputError(
                f"The image {content_hash[:16]}... is not in the pool {self.path}; the plan was made from another pool."
            )
        try:
            latent = self._files[content_hash].get_tensor(content_hash).float()
        except SafetensorError as error:
            raise InputError(f"The inversion {content_hash[:16]}... in {self.path} cannot be read: {error}.") from error
        if not bool(torch.isfinite(latent).all()):
            raise InputError(f"The inversion {content_hash[:16]}... in {self.path} has NaN or infinite values.")
        return latent

    def metrics(self) -> dict[str, dict[str, float]]:
        """Per content hash what ``ncm invert`` measured: ``psnr`` of (invert, denoise) and ``psnr_autoencoder``."""
        return dict(_metrics(dict.fromkeys(self._files.values())))


def _metrics(handles: Iterable[Any]) -> Iterable[tuple[str, dict[str, float]]]:
    for handle in handles:
        metadata: dict[str, str] = handle.metadata() or {}
        yield from json.loads(metadata.get("metrics", "{}")).items()


def open_tensors(file: Path) -> Any:
    """Open a safetensors file of a pool without reading its tensors.

    Raises:
        InputError: it is missing or damaged; the message says which, and what to do.
    """
    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError as error:
        raise InputError(
            f"{file} is missing: the inversion was cut short. Run the same `ncm invert` again to make the rest."
        ) from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file} is damaged ({error}). Delete it and run the same `ncm invert` again.") from error
