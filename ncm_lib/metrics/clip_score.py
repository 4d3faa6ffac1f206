"""CLIP score: how well an image fits the words for its classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..engine.fingerprint import fingerprint
from ..engine.hub import folder_of
from ..engine.load import named_device
from ..errors import InputError
from ..plan.classes import ClassList
from ..plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..typing import Float64
from .classifier import no_bars
from .preparation import Preparation

# OpenAI's, which all published CLIP models were trained with
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_LEGAL = "legal is a folder in transformers' layout with config.json, model.safetensors and the tokenizer's files"


class ClipScore:
    """Cosine of an image's and a prompt's embedding, in [-1, 1].

    Args:
        model: folder of a CLIP model in transformers' layout, or a hub id. Nothing comes along; OpenAI's ViT-B/32 and
            ViT-L/14 are the usual ones.
        prompt: the template that names the classes.
        device: "cpu", "cuda"...; None takes the best one there is.

    Raises:
        InputError: there is no such model or device, or its weights are not safetensors.

    Reference:
        CLIPScore (Hessel et al., EMNLP 2021), without its factor of 2.5 and its cut at 0, which change no order.
    """

    by = "clip"

    def __init__(self, model: str | Path, *, prompt: str = DEFAULT_TEMPLATE, device: str | None = None) -> None:
        from transformers import CLIPModel, CLIPTokenizer

        folder = folder_of(model, ["*.json", "*.txt", "*.safetensors"], what="CLIP model", legal=_LEGAL)
        try:
            with no_bars():
                network: Any = CLIPModel.from_pretrained(folder, use_safetensors=True)
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
        except Exception as error:  # transformers and safetensors raise many kinds; each means the same here
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"There is no CLIP model at {str(model)!r} ({first}); {_LEGAL}.") from error
        self._network = network.eval().to(named_device(device))
        self._prompt = prompt
        self._texts: dict[tuple[str, ...], Tensor] = {}
        side = int(network.config.vision_config.image_size)
        self._preparation = Preparation(resolution=side, resize=side, mean=_MEAN, std=_STD)
        self.model = Path(model).name
        weights = fingerprint(Path(model)) if Path(model).is_dir() else str(model)
        self.fingerprint = hashlib.sha256(f"{weights}\n{prompt}".encode()).hexdigest()

    @torch.inference_mode()
    def class_scores(self, images: Sequence[Image.Image], classes: ClassList) -> Float64[np.ndarray, "n classes"]:
        """The score of every image for every class.

        Raises:
            InputError: a prompt is too long for the text encoder.
        """
        texts = self._text_embeddings(class_prompts(classes, self._prompt))
        ready = [self._preparation.cropped(self._preparation.scaled(image)) for image in images]
        pixels = self._preparation.normalised(torch.from_numpy(np.stack(ready)).to(self._network.device))
        pooled = self._network.vision_model(pixel_values=pixels).pooler_output
        return (_unit(self._network.visual_projection(pooled)) @ texts.T).double().cpu().numpy()

    def _text_embeddings(self, prompts: tuple[str, ...]) -> Tensor:
        if prompts not in self._texts:
            tokens = self._tokenizer(list(prompts), padding=True, return_tensors="pt").to(self._network.device)
            most = int(self._network.config.text_config.max_position_embeddings)
            if tokens.input_ids.shape[1] > most:
                longest = max(prompts, key=len)
                raise InputError(
                    f"The prompt {longest!r} has more than the {most} tokens that the CLIP model reads; give a shorter "
                    "one (--prompt)."
                )
            pooled = self._network.text_model(**tokens).pooler_output
            self._texts[prompts] = _unit(self._network.text_projection(pooled))
        return self._texts[prompts]


def _unit(rows: Tensor) -> Tensor:
    return rows.float() / rows.float().norm(dim=-1, keepdim=True)
