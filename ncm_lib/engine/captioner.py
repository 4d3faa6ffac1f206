"""BLIP, which says in words what an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..errors import InputError
from ..plan.files import read_json
from .fingerprint import fingerprint
from .hub import folder_of
from .load import named_device

_LEGAL = "legal: a folder with a BLIP captioner (BlipForConditionalGeneration), or its hub id such as owner/name"
_BEAMS, _TOKENS = 3, 30


@dataclass(frozen=True, kw_only=True)
class Captioner:
    """A loaded captioner. It draws nothing at random: beam search with 3 beams, at most 30 tokens."""

    fingerprint: str
    model: Any
    image_processor: Any
    tokenizer: Any

    @torch.inference_mode()
    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """One caption per RGB image."""
        pixels = self.image_processor(list(images), return_tensors="pt")["pixel_values"]
        tokens = self.model.generate(
            pixel_values=pixels.to(self.model.device), num_beams=_BEAMS, max_new_tokens=_TOKENS, do_sample=False
        )
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def load_captioner(source: str | Path, *, device: str | None = None) -> Captioner:
    """Load a BLIP captioner.

    Args:
        source: a folder as transformers saves it, or a hub id. Weights must be safetensors.
        device: as in ``load_model``; the weights are float32 everywhere.

    Raises:
        InputError: there is none, it is of another kind, or a file of it is damaged.
    """
    import transformers

    target = named_device(device)
    folder = folder_of(source, ["*.json", "*.txt", "*.safetensors"], what="captioner", legal=_LEGAL)
    config = read_json(folder / "config.json", _LEGAL)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "blip":
        raise InputError(f"{source} holds a model of type {kind!r}; {_LEGAL}.")
    # of the two that newer transformers have, the one that needs no torchvision
    name = "BlipImageProcessorPil" if hasattr(transformers, "BlipImageProcessorPil") else "BlipImageProcessor"
    image_processor: Any = getattr(transformers, name)
    local: dict[str, Any] = {"local_files_only": True}
    try:
        model: Any = transformers.BlipForConditionalGeneration.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, **local
        )
        return Captioner(
            fingerprint=fingerprint(folder),
            model=model.to(target).eval().requires_grad_(False),
            image_processor=image_processor.from_pretrained(folder, **local),
            tokenizer=transformers.BertTokenizer.from_pretrained(folder, **local),
        )
    except Exception as error:  # damaged files raise whatever their readers raise
        text = str(error).splitlines()
        raise InputError(
            f"The captioner in {folder} could not be loaded ({type(error).__name__}: {text[0] if text else ''}); "
            f"{_LEGAL}, with safetensors weights."
        ) from error
