"""A LoRA on the attention layers of a UNet, put on for a while."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig
from torch import nn

from ..errors import InputError
from ..maths.rng import normals

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
_NAME = "concepts"


@contextmanager
def lora(unet: Any, *, rank: int, seed: int) -> Generator[dict[str, nn.Parameter]]:
    """Inside, every attention projection W of ``unet`` is W + B A, with A [rank, in] and B [out, rank] to be learned.

    alpha = rank, so the scale is 1. A begins as N(0, 1 / rank^2), the same on every machine, and B as zero.

    Args:
        unet: of diffusers; as it was when the block ends.
        rank: 0 leaves it alone.
        seed: of A.

    Returns:
        The parameters by the keys under which diffusers stores them, in float32.

    Raises:
        InputError: the UNet carries a LoRA already.

    Reference:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    """
    if rank == 0:
        yield {}
        return
    if getattr(unet, "peft_config", None):
        raise InputError("The model's UNet carries a LoRA already; train on the base model.")
    # peft's own start values, which do not stay, come from the process's generator
    with torch.random.fork_rng(devices=[]):
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)), adapter_name=_NAME)
    try:
        found = {
            f"unet.{name.replace(f'.{_NAME}.', '.')}": parameter
            for name, parameter in unet.named_parameters()
            if f".{_NAME}." in name
        }
        for name, parameter in found.items():
            parameter.data = parameter.data.float()
            if ".lora_A." in name:
                values = normals(seed, f"concepts/{name}", parameter.numel()) / rank
                parameter.data.copy_(torch.as_tensor(values, dtype=torch.float32).reshape(parameter.shape))
            else:
                parameter.data.zero_()
            parameter.requires_grad_(True)
        yield found
    finally:
        unet.unload_lora()
        unet.requires_grad_(False)
