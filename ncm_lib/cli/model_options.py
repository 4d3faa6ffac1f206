"""Options that say which model is loaded, and how."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.speed import Attention, Speed
from ..engine.step_cache import Cache
from ..errors import InputError

if TYPE_CHECKING:
    from ..engine.load import Model


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, what is added to it, and how it is made faster."""

    model: str
    """demo, a folder in diffusers' layout, a .safetensors file, or a hub id."""
    config: str | None = None
    """With a single file: the folder in diffusers' layout, or the hub id, that says what it holds. Without it: the
    folder beside the file that has its name."""
    lora: tuple[str, ...] = ()
    """LoRA files, each FILE or FILE:WEIGHT (such as style.safetensors:0.8); added to the weights, so they cost no
    time."""
    embedding: tuple[str, ...] = ()
    """Textual inversions, each WORD=FILE: the word, in a prompt or as a class name, means what the file has learned."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps. Without it: the best one there is."""
    dtype: str | None = None
    """fp32, bf16, fp16. Without it: fp16 on CUDA, else fp32."""
    compile: bool = False
    """Compile the denoiser: the first batch waits for minutes, later ones take less time."""
    channels_last: bool = False
    """Lay weights out as tensor cores read them: less time on most GPUs."""
    attention: Attention = "auto"
    """Which attention kernel of torch runs."""
    slice_decoding: bool = False
    """Decode one image at a time: less memory at the end of a batch, a little more time."""
    cache: Cache = "off"
    """Approximate, other images, for SD 3, SD 3.5 and FLUX.1: most steps take parts of the transformer from the steps
    before. taylor and broadcast: the attentions, extrapolated or repeated; taylor-blocks: nearly all, extrapolated."""
    cache_interval: int = 3
    """With --cache: one step in so many is computed in full, and the first three are. More: less time, and images
    further from those without."""

    def load_options(self) -> dict[str, Any]:
        """What ``load_model`` is given beside the source, the device and the dtype.

        Raises:
            InputError: a LoRA's weight that is no number, or an embedding without a word.
        """
        return {
            "config": self.config,
            "lora": dict(_weighted(text) for text in self.lora),
            "embeddings": dict(_named(text) for text in self.embedding),
            "speed": Speed(
                compile=self.compile,
                channels_last=self.channels_last,
                attention=self.attention,
                slice_decoding=self.slice_decoding,
                cache=self.cache,
                cache_interval=self.cache_interval,
            ),
        }

    def load(self, device: str | None = None) -> Model:
        """The model, on the device that is asked for, else on ``device``."""
        from ..engine.load import load_model

        return load_model(self.model, device=self.device or device, dtype=self.dtype, **self.load_options())

    @property
    def describing(self) -> str:
        """The source that tells the model's classes: itself, or the folder that describes a single file."""
        from ..engine.load_source import find_model

        return self.model if self.config is None else str(find_model(self.model, self.config)[0])

    def fingerprint(self) -> str:
        """The model's fingerprint, additions included, without loading its weights."""
        from ..engine.fingerprint import fingerprint
        from ..engine.load_source import find_model

        folder, single = find_model(self.model, self.config)
        options = self.load_options()
        for file in (*options["lora"], *options["embeddings"].values()):
            if not Path(file).is_file():
                raise InputError(f"There is no file at {str(file)!r}.")
        return fingerprint(folder, single=single, lora=options["lora"], embeddings=options["embeddings"])


def _weighted(text: str) -> tuple[str, float]:
    if text.endswith(".safetensors"):
        return text, 1.0
    file, _, weight = text.rpartition(":")
    with suppress(ValueError):
        if file and math.isfinite(float(weight)):
            return file, float(weight)
    raise InputError(
        f"--lora is {text!r}; legal: FILE.safetensors or FILE.safetensors:WEIGHT, such as style.safetensors:0.8."
    )


def _named(text: str) -> tuple[str, str]:
    word, _, file = text.partition("=")
    if not word or not file:
        raise InputError(f"--embedding is {text!r}; legal: WORD=FILE, such as '<toy>=toy.safetensors'.")
    return word, file
