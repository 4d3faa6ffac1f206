"""Prompts as token ids, never cut off unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...errors import InputError


def pool_at_end(tokenizer: Any, text_encoder: Any) -> None:
    """Have a CLIP text encoder take its pooled output at the prompt's end, whatever tokens are added to it.

    Configs from before 2023, SDXL's among them, name the end token 2, and transformers then takes the largest id of the
    prompt for the end, which a new token's is. Without new tokens both ways are the same place.

    Args:
        tokenizer: of transformers.
        text_encoder: its encoder; changed in place.
    """
    for module in text_encoder.modules():
        if getattr(module, "eos_token_id", None) == 2:
            module.eos_token_id = tokenizer.eos_token_id


def token_ids(tokenizer: Any, prompts: Sequence[str], *, limit: int, cut: bool = False) -> Tensor:
    """Token ids [n, limit] of prompts, padded.

    Args:
        tokenizer: of transformers.
        prompts: a textual inversion of several vectors stands in them under its first token's name.
        limit: tokens that the text encoder reads.
        cut: cut longer prompts off, where another encoder of the model reads them whole.

    Raises:
        InputError: a prompt is longer, and is not to be cut.
    """
    from diffusers.loaders import TextualInversionLoaderMixin

    texts = TextualInversionLoaderMixin().maybe_convert_prompt(list(prompts), tokenizer)
    for prompt, text in zip(prompts, texts, strict=True) if not cut else ():
        tokens = len(tokenizer(text).input_ids)
        if tokens > limit:
            raise InputError(
                f"The prompt {prompt!r} has {tokens} tokens and the text encoder reads {limit}; the end would be "
                "cut off, perhaps with the class name. Shorten the prompt or the class name."
            )
    return tokenizer(texts, padding="max_length", max_length=limit, truncation=cut, return_tensors="pt").input_ids
