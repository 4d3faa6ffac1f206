"""LoRA weights of a UNet: one form in memory, whatever layout their file has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..typing import Float

# Every layout names a module, a side (down: to the rank; up: back) or an alpha.
_DOTTED = re.compile(
    r"(?:base_model\.model\.)?(?:unet\.)?(?P<path>[\w.]+?)"
    r"(?:\.lora_(?P<peft>[AB])(?:\.default)?\.weight|\.lora\.(?P<lora>down|up)\.weight|(?P<alpha>\.alpha))"
)
# diffusers before 0.22: the attention processor held the layers
_PROCESSOR = re.compile(
    r"(?:unet\.)?(?P<block>[\w.]+?)(?:\.processor)?\.(?P<name>to_[qkv]|to_out)_lora\.(?P<side>down|up)\.weight"
)
_KOHYA = re.compile(r"lora_unet_(?P<path>\w+)\.(?:lora_(?P<side>down|up)\.weight|(?P<alpha>alpha))")
_OWN_UNDERSCORES = re.compile(
    r"(down|up|transformer)_(blocks)|(mid)_(block)|(to)_(q|k|v|out)(?=_|$)|(proj)_(in|out)|(time)_(emb)_(proj)"
    r"|(time)_(embedding)|(conv)_(shortcut|in|out)"
)
_SIDES = {"A": "down", "B": "up"}


@dataclass(frozen=True, kw_only=True)
class LoraPair:
    """What LoRA adds to one linear layer: weight' = weight + scale * up @ down.

    Example:
        >>> pair = LoraPair(down=torch.ones(2, 3), up=torch.ones(4, 2), scale=0.5)
        >>> pair.rank, pair.delta().shape, float(pair.delta()[0, 0])
        (2, torch.Size([4, 3]), 1.0)
    """

    down: Float[Tensor, "rank into"]
    up: Float[Tensor, "out rank"]
    scale: float = 1.0
    """alpha / rank."""

    @property
    def rank(self) -> int:
        """Inner size."""
        return self.down.shape[0]

    def delta(self) -> Float[Tensor, "out into"]:
        """What is added to the weight: scale * up @ down, in float32."""
        return self.scale * (self.up.float() @ self.down.float())


def lora_pairs(
    tensors: Mapping[str, Tensor], *, scale: float = 1.0, where: str = "The LoRA weights"
) -> dict[str, LoraPair]:
    """Sort the tensors of a LoRA file by the layer that they belong to.

    Args:
        tensors: by key, in the layout of peft (``unet.PATH.lora_A.weight``, prefix optional), of diffusers
            (``PATH.lora.down.weight``; ``BLOCK.processor.to_q_lora.down.weight``, as Diff-Mix published) or of kohya
            (``lora_unet_PATH_WITH_UNDERSCORES.lora_down.weight`` with ``.alpha``).
        scale: alpha / rank of the layers that have no ``.alpha`` of their own.
        where: the file, for messages.

    Returns:
        A pair per layer by the module path of diffusers' UNet, in sorted order.

    Raises:
        InputError: no key or not every key belongs to a UNet's LoRA, or a layer lacks one side; by key.

    Example:
        >>> key = "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora"
        >>> [*lora_pairs({f"{key}.down.weight": torch.zeros(1, 8), f"{key}.up.weight": torch.zeros(8, 1)})]
        ['mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0']
    """
    found: dict[str, dict[str, Tensor]] = {}
    unknown: list[str] = []
    for key, tensor in tensors.items():
        place = _place(key)
        if place is None:
            unknown.append(key)
            continue
        path, part = place
        if part in found.setdefault(path, {}):
            raise InputError(f"{where} hold {part} of the layer {path!r} twice, the second time as {key!r}.")
        found[path][part] = tensor
    if unknown or not found:
        shown = ", ".join(map(repr, unknown[:3])) or "none at all"
        raise InputError(
            f"{where} have {len(found)} layers of a UNet, and {len(unknown)} keys that are none of its LoRA: {shown}. "
            "Expected are keys such as 'unet.PATH.attn1.to_q.lora_A.weight' (peft), "
            "'PATH.attn1.processor.to_q_lora.down.weight' (diffusers, Diff-Mix) or "
            "'lora_unet_PATH_attn1_to_q.lora_down.weight' (kohya)."
        )
    return {path: _pair(path, found[path], scale, where) for path in sorted(found)}


def lora_tensors(pairs: Mapping[str, LoraPair]) -> dict[str, Tensor]:
    """The pairs in the layout of kohya with an alpha per layer.

    Stock diffusers and stock ComfyUI both read it; peft's own keys are unknown to ComfyUI's loader for UNets.
    """
    tensors: dict[str, Tensor] = {}
    for path, pair in pairs.items():
        key = kohya_key(path)
        tensors[f"{key}.lora_down.weight"] = pair.down
        tensors[f"{key}.lora_up.weight"] = pair.up
        # in float64, so that dividing by the rank gives the scale back
        tensors[f"{key}.alpha"] = torch.tensor(pair.scale * pair.rank, dtype=torch.float64)
    return tensors


def kohya_key(path: str) -> str:
    """``lora_unet_`` and the path with underscores."""
    return "lora_unet_" + path.replace(".", "_")


def _place(key: str) -> tuple[str, str] | None:
    """The layer's path, and ``down``, ``up`` or ``alpha``; None where the key is of none of the layouts."""
    if key.startswith(("lora_te", "text_encoder")):
        return None
    if match := _KOHYA.fullmatch(key):
        return _dotted(match["path"]), match["side"] or "alpha"
    if match := _PROCESSOR.fullmatch(key):
        name = "to_out.0" if match["name"] == "to_out" else match["name"]
        return f"{match['block']}.{name}", match["side"]
    if match := _DOTTED.fullmatch(key):
        return match["path"], _SIDES[match["peft"]] if match["peft"] else match["lora"] or "alpha"
    return None


def _dotted(path: str) -> str:
    """A module path whose dots became underscores, with its dots."""
    kept = _OWN_UNDERSCORES.sub(lambda match: "-".join(filter(None, match.groups())), path)
    return kept.replace("_", ".").replace("-", "_")


def _pair(path: str, parts: Mapping[str, Tensor], scale: float, where: str) -> LoraPair:
    if missing := {"down", "up"} - parts.keys():
        raise InputError(
            f"{where} have no {' and no '.join(sorted(missing))} matrix of the layer {path!r}; each layer needs both."
        )
    down, up = parts["down"], parts["up"]
    for side, tensor in (("down", down), ("up", up)):
        if tensor.ndim != 2 or not tensor.is_floating_point() or not tensor.numel():
            raise InputError(
                f"{where} hold {side} of the layer {path!r} as {tensor.dtype} {list(tensor.shape)}; expected is a "
                "matrix of floating-point numbers (adapters of convolutions are not read)."
            )
    if down.shape[0] != up.shape[1]:
        raise InputError(
            f"{where} give the layer {path!r} down of rank {down.shape[0]} and up of rank {up.shape[1]}; "
            "the two must agree."
        )
    if "alpha" in parts:
        if parts["alpha"].numel() != 1:
            raise InputError(
                f"{where} hold alpha of the layer {path!r} as {list(parts['alpha'].shape)}; it is one number."
            )
        scale = float(parts["alpha"]) / down.shape[0]
    pair = LoraPair(down=down.detach(), up=up.detach(), scale=scale)
    if not (torch.isfinite(down).all() and torch.isfinite(up).all() and torch.isfinite(torch.tensor(scale))):
        raise InputError(f"{where} have NaN or infinite values in the layer {path!r}; train or download them again.")
    return pair
