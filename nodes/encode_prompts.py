"""One CONDITIONING with a row per sample."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from .demo_model import DemoClipModel
from .sockets import CATEGORY, Prompts

# Text encoders of models that attend to the prompt by cross-attention only: there a prompt that is repeated as a whole
# gives the same attention, so unequal lengths can share a batch. Joint attention (SD 3, FLUX) would shift.
_CROSS_ATTENTION = {
    "comfy.sd1_clip",
    "comfy.sdxl_clip",
    "comfy.text_encoders.sd2_clip",
    DemoClipModel.__module__,
}


class EncodePrompts(io.ComfyNode):
    """CLIP Text Encode for a batch of prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_EncodePrompts",
            display_name="Encode Prompts (Batch)",
            category=CATEGORY,
            description="Encodes a prompt per sample into one CONDITIONING, so that every sample of a batch has its "
            "own pair of classes. Equal prompts are encoded once.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that belongs to the model."),
                Prompts.Input("prompts", tooltip="One prompt per sample, from Class Pair or Plan Sample."),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="As many rows as prompts; the LATENT must have as many samples, or the prompts must be "
                    "one.",
                )
            ],
        )

    @classmethod
    def execute(cls, clip: Any, prompts: tuple[str, ...]) -> io.NodeOutput:
        """Encode each distinct prompt and stack the rows."""
        if clip is None:
            raise InputError("The CLIP input is empty: this checkpoint holds no text encoder. Load one and link it.")
        distinct = dict.fromkeys(prompts)
        if empty := [position for position, prompt in enumerate(prompts) if not prompt.strip()]:
            raise InputError(f"Prompt {empty[0]} is empty; a class needs words. Mend the prompt template.")
        encoded = {prompt: _encode(clip, prompt) for prompt in distinct}
        lengths = {prompt: rows.shape[1] for prompt, (rows, _) in encoded.items()}
        length = math.lcm(*lengths.values())
        if len(set(lengths.values())) > 1 and type(clip.cond_stage_model).__module__ not in _CROSS_ATTENTION:
            longest = max(lengths, key=lambda prompt: lengths[prompt])
            shown = textwrap.shorten(longest, 60, placeholder=" ...")
            raise InputError(
                f"The prompt {shown!r} has {lengths[longest]} tokens and the shortest has {min(lengths.values())}. "
                "This model attends to prompt and picture together, so that prompts of one batch must be of one "
                "length. Shorten it, or run it in a batch of its own."
            )
        rows = torch.cat([encoded[prompt][0].repeat(1, length // lengths[prompt], 1) for prompt in prompts])
        options = [encoded[prompt][1] for prompt in prompts]
        return io.NodeOutput([[rows, _stacked(options)]])


def _encode(clip: Any, prompt: str) -> tuple[Tensor, dict[str, Any]]:
    schedule = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
    if len(schedule) != 1:
        raise InputError(
            "The CLIP carries hooks with a schedule over time, which cannot be stacked into one row per sample. "
            "Link the CLIP without the hooks, or use CLIP Text Encode with a batch of one."
        )
    return schedule[0][0], schedule[0][1]


def _stacked(options: list[dict[str, Any]]) -> dict[str, Any]:
    """One dict of all rows' options: tensors of one row become one tensor of N rows, all else must be equal."""
    stacked: dict[str, Any] = {}
    for key, first in options[0].items():
        values: list[Any] = [row.get(key) for row in options]
        if all(torch.is_tensor(value) for value in values):
            if len({value.shape[1:] for value in values}) > 1:
                raise InputError(f"The text encoder's {key} differs in length between prompts; use a batch of one.")
            stacked[key] = torch.cat(values)
        elif all(value is first or value == first for value in values):
            stacked[key] = first
        else:
            raise InputError(
                f"The text encoder's {key} differs between prompts and cannot be stacked; use a batch of one."
            )
    return stacked
