"""Prompts as token ids, never cut off unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...errors import InputError


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
