"""The embedded demo model as a MODEL, CLIP and VAE of ComfyUI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch
from comfy_api.latest import io

from ..ncm_lib.errors import InputError
from .sockets import CATEGORY

_FOLDER = Path(__file__).resolve().parent.parent / "ckpts" / "demo"
_CELL = 4
"""Image pixels along one side of a latent cell: the demo's autoencoder halves an image twice."""


class DemoLatents(comfy.latent_formats.LatentFormat):
    """Latents of the demo's own autoencoder."""

    scale_factor = 1.0
    latent_channels = 4
    spacial_downscale_ratio = _CELL


class DemoConfig(comfy.supported_models_base.BASE):
    """An SD 1.x in miniature."""

    latent_format = DemoLatents
    unet_extra_config = {}  # noqa: RUF012, ComfyUI's own form
    memory_usage_factor = 2.0


class DemoClipModel(comfy.sd1_clip.SD1ClipModel):
    """The demo's two-layer text encoder."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict[str, Any] | None = None) -> None:
        super().__init__(device, dtype, model_options or {}, clip_name="l", clip_model=_DemoEncoder)


class _DemoEncoder(comfy.sd1_clip.SDClipModel):
    def __init__(self, device: Any, dtype: Any, model_options: dict[str, Any]) -> None:
        config = _config("text_encoder")
        end = config["eos_token_id"]
        super().__init__(
            device=device,
            dtype=dtype,
            max_length=config["max_position_embeddings"],
            textmodel_json_config=config,
            special_tokens={"start": config["bos_token_id"], "end": end, "pad": end},
            return_projected_pooled=False,
            model_options=model_options,
        )
        # ComfyUI's CLIP has the vocabulary of the original
        words = self.operations.Embedding(config["vocab_size"], config["hidden_size"], dtype=dtype, device=device)
        self.transformer.set_input_embeddings(words)


class _DemoTokens(comfy.sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict[str, Any] | None = None) -> None:
        config = _config("text_encoder")
        super().__init__(
            str(_FOLDER / "tokenizer"),
            max_length=config["max_position_embeddings"],
            embedding_directory=embedding_directory,
            embedding_size=config["hidden_size"],
            tokenizer_data=tokenizer_data or {},
        )


class DemoTokenizer(comfy.sd1_clip.SD1Tokenizer):
    """The demo's small vocabulary."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict[str, Any] | None = None) -> None:
        super().__init__(embedding_directory, tokenizer_data or {}, clip_name="l", tokenizer=_DemoTokens)


class LoadDemoModel(io.ComfyNode):
    """Nothing to download: for the shipped workflows, and for trying things out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_LoadDemoModel",
            display_name="Load Demo Model",
            category=CATEGORY,
            description="The small model that comes with this pack: photographs of fruit and vegetables, 64 x 64 "
            "pixels, 50 classes. It runs in seconds on any CPU, so that a workflow can be tried before a real "
            "checkpoint is linked.",
            inputs=[
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Samples in the empty latent. Time grows in proportion.",
                )
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="Predicts noise, as SD 1.5 does."),
                io.Clip.Output(display_name="clip", tooltip="Its text encoder, of 756 tokens and 32 per prompt."),
                io.Vae.Output(display_name="vae", tooltip="Its autoencoder: 4 pixels per latent cell."),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="Empty, 16 x 16 cells. Empty Latent Image does not fit: it takes 8 pixels for a cell.",
                ),
            ],
        )

    @classmethod
    def execute(cls, batch_size: int) -> io.NodeOutput:
        """Load it."""
        if not (_FOLDER / "model_index.json").is_file():
            raise InputError("The folder ckpts/demo of this node pack is missing; install the pack again.")
        side = _config("unet")["sample_size"]
        latent = torch.zeros(batch_size, 4, side, side, device=comfy.model_management.intermediate_device())
        return io.NodeOutput(
            _load_unet(), _load_clip(), _load_vae(), {"samples": latent, "downscale_ratio_spacial": _CELL}
        )


def _config(part: str) -> dict[str, Any]:
    return json.loads((_FOLDER / part / "config.json").read_text(encoding="utf-8"))


def _weights(part: str, name: str = "diffusion_pytorch_model") -> dict[str, Any]:
    return comfy.utils.load_torch_file(str(_FOLDER / part / f"{name}.safetensors"))


def _load_unet() -> comfy.model_patcher.ModelPatcher:
    config = _config("unet")
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    attention = [int("CrossAttn" in kind) for kind in config["down_block_types"]]
    load_device = comfy.model_management.get_torch_device()
    unet_config: dict[str, Any] = {
        "image_size": 32,
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": widths[0],
        "channel_mult": [width // widths[0] for width in widths],
        "num_res_blocks": [layers] * len(widths),
        "transformer_depth": [depth for depth in attention for _ in range(layers)],
        "transformer_depth_output": [depth for depth in attention for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "num_heads": config["attention_head_dim"],
        "num_head_channels": -1,
        "context_dim": config["cross_attention_dim"],
        "use_scale_shift_norm": config["resnet_time_scale_shift"] == "scale_shift",
        "use_spatial_transformer": True,
        "use_linear_in_transformer": config["use_linear_projection"],
        "adm_in_channels": None,
        "use_checkpoint": False,
        "legacy": False,
        "dtype": comfy.model_management.unet_dtype(device=load_device),
    }
    model_config = DemoConfig(unet_config)
    model_config.set_inference_dtype(
        unet_config["dtype"], comfy.model_management.unet_manual_cast(unet_config["dtype"], load_device)
    )
    # the autoencoder's own factor: mean latents of unit variance
    model_config.latent_format.scale_factor = _config("vae")["scaling_factor"]
    offload_device = comfy.model_management.unet_offload_device()
    model = comfy.model_base.BaseModel(model_config, device=offload_device)
    names = comfy.utils.unet_to_diffusers(unet_config)
    weights = {names[name]: value for name, value in _weights("unet").items()}
    model.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(model, load_device=load_device, offload_device=offload_device)


def _load_clip() -> comfy.sd.CLIP:
    target = comfy.supported_models_base.ClipTarget(DemoTokenizer, DemoClipModel)
    clip = comfy.sd.CLIP(target)
    weights = {
        f"text_model.{name.removeprefix('text_model.')}": value
        for name, value in _weights("text_encoder", "model").items()
    }
    # SD 1.x has no projection, and ComfyUI's layer for it starts uninitialised
    weights["text_projection.weight"] = torch.eye(_config("text_encoder")["hidden_size"])
    missing, unexpected = clip.cond_stage_model.load_sd(weights)
    if missing or unexpected:
        raise InputError(f"The demo model's text encoder is damaged: missing {missing}, unknown {unexpected}.")
    return clip


def _load_vae() -> comfy.sd.VAE:
    config = _config("vae")
    widths = config["block_out_channels"]
    ddconfig = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": config["sample_size"],
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    weights = {_vae_name(name, len(widths)): _vae_weight(name, value) for name, value in _weights("vae").items()}
    vae = comfy.sd.VAE(sd=weights, config={"params": {"ddconfig": ddconfig, "embed_dim": config["latent_channels"]}})
    vae.downscale_ratio = vae.upscale_ratio = _CELL
    return vae


_VAE_NAMES = [
    # diffusers' name, ComfyUI's; it numbers the decoder's levels from the other end
    (r"^(encoder|decoder)\.mid_block\.resnets\.0\.", r"\1.mid.block_1."),
    (r"^(encoder|decoder)\.mid_block\.resnets\.1\.", r"\1.mid.block_2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.group_norm\.", r"\1.mid.attn_1.norm."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_([qkv])\.", r"\1.mid.attn_1.\2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_out\.0\.", r"\1.mid.attn_1.proj_out."),
    (r"\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d+)\.resnets\.(\d+)\.", r".up.\1.block.\2."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".up.\1.upsample."),
    (r"\.conv_shortcut\.", r".nin_shortcut."),
    (r"\.conv_norm_out\.", r".norm_out."),
]


def _vae_name(name: str, levels: int) -> str:
    for pattern, replacement in _VAE_NAMES:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\.up\.(\d+)\.", lambda match: f".up.{levels - 1 - int(match[1])}.", name)


def _vae_weight(name: str, value: torch.Tensor) -> torch.Tensor:
    """Attention's linear layers are 1 x 1 convolutions in ComfyUI."""
    linear = ".attentions." in name and value.ndim == 2
    return value[..., None, None] if linear else value
