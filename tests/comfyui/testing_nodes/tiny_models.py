"""Small models of real families: ComfyUI's own classes with few channels, and weights that a seed fixes.

Their latents have a factor of 8, as the real ones' have, so that they can stand in for a checkpoint in any workflow.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ldm.models.autoencoder
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.text_encoders.flux
import comfy.text_encoders.sd2_clip
import torch

TEXT_WIDTH = 32
"""Of each text encoder."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a family of models is made of.

    Attributes:
        config: ComfyUI's class for the family.
        model: What makes the model of a config.
        unet: The small network's shape.
        tokenizer: ComfyUI's class.
        text_model: ComfyUI's class.
        text_configs: The text encoders' shapes, by the names that ``text_model`` knows them under.
    """

    config: type[comfy.supported_models_base.BASE]
    model: Callable[[Any], comfy.model_base.BaseModel]
    unet: dict[str, Any]
    tokenizer: type
    text_model: type
    text_configs: dict[str, dict[str, Any]]


def _unet(
    *, width: int = 32, attention: tuple[int, int] = (1, 1), context: int = TEXT_WIDTH, **others: Any
) -> dict[str, Any]:
    """A UNet of two levels, whose transformer depths are ``attention``."""
    return {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": width,
        "channel_mult": [1, 2],
        "num_res_blocks": [1, 1],
        "transformer_depth": list(attention),
        "transformer_depth_output": [depth for depth in attention for _ in range(2)],
        "transformer_depth_middle": 1,
        "context_dim": context,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_checkpoint": False,
        "legacy": False,
        **others,
    }


def _clip(layers: int = 2) -> dict[str, Any]:
    return {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
    }


_T5 = {"d_ff": 2 * TEXT_WIDTH, "d_kv": TEXT_WIDTH // 2, "d_model": TEXT_WIDTH, "num_heads": 2, "num_layers": 2}

FAMILIES: dict[str, Family] = {
    "sd15": Family(
        config=comfy.supported_models.SD15,
        model=comfy.model_base.BaseModel,
        unet=_unet(),
        tokenizer=comfy.sd1_clip.SD1Tokenizer,
        text_model=comfy.sd1_clip.SD1ClipModel,
        text_configs={"clip_l_model_config": _clip()},
    ),
    # predicts velocity
    "sd21": Family(
        config=comfy.supported_models.SD20,
        model=functools.partial(comfy.model_base.BaseModel, model_type=comfy.model_base.ModelType.V_PREDICTION),
        unet=_unet(width=64, use_linear_in_transformer=True),
        tokenizer=comfy.text_encoders.sd2_clip.SD2Tokenizer,
        text_model=comfy.text_encoders.sd2_clip.SD2ClipModel,
        text_configs={"clip_h_model_config": _clip(layers=3)},
    ),
    # two text encoders; the second one's pooled output and the sizes of the picture are conditions as well
    "sdxl": Family(
        config=comfy.supported_models.SDXL,
        model=comfy.model_base.SDXL,
        unet=_unet(
            attention=(0, 1),
            context=2 * TEXT_WIDTH,
            use_linear_in_transformer=True,
            num_classes="sequential",
            adm_in_channels=TEXT_WIDTH + 6 * 256,
        ),
        tokenizer=comfy.sdxl_clip.SDXLTokenizer,
        text_model=comfy.sdxl_clip.SDXLClipModel,
        text_configs={"clip_l_model_config": _clip(layers=3), "clip_g_model_config": _clip(layers=3)},
    ),
    # flow, joint attention, 16 channels, a distilled guidance
    "flux": Family(
        config=comfy.supported_models.Flux,
        model=comfy.model_base.Flux,
        unet={
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": TEXT_WIDTH,
            "context_in_dim": TEXT_WIDTH,
            "hidden_size": 64,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 1,
            "depth_single_blocks": 1,
            "axes_dim": [8, 12, 12],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": True,
        },
        tokenizer=comfy.text_encoders.flux.FluxTokenizer,
        text_model=comfy.text_encoders.flux.flux_clip(dtype_t5=torch.float32),
        text_configs={"clip_l_model_config": _clip(), "t5xxl_model_config": _T5},
    ),
    # video: latents with frames; it borrows FLUX's text encoder, and its VAE does not fit
    "wan": Family(
        config=comfy.supported_models.WAN21_T2V,
        model=comfy.model_base.WAN21,
        unet={
            "image_model": "wan2.1",
            "model_type": "t2v",
            "dim": 64,
            "ffn_dim": 128,
            "freq_dim": 64,
            "text_dim": TEXT_WIDTH,
            "num_heads": 2,
            "num_layers": 1,
        },
        tokenizer=comfy.text_encoders.flux.FluxTokenizer,
        text_model=comfy.text_encoders.flux.flux_clip(dtype_t5=torch.float32),
        text_configs={"clip_l_model_config": _clip(), "t5xxl_model_config": _T5},
    ),
}


@functools.cache
def tiny_model(family: str) -> comfy.model_patcher.ModelPatcher:
    """The MODEL of a family: one object for the process, as a loader's output is that stays in ComfyUI's cache."""
    return make_model(FAMILIES[family], family)


def make_model(parts: Family, seed: str) -> comfy.model_patcher.ModelPatcher:
    """A MODEL of any shape with random weights."""
    config = parts.config({**parts.unet, "dtype": torch.float32})
    config.set_inference_dtype(torch.float32, None)
    model = parts.model(config)
    fill(model.diffusion_model, f"{seed} unet")
    return comfy.model_patcher.ModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


@functools.cache
def tiny_clip(family: str) -> comfy.sd.CLIP:
    """The CLIP of a family, with the tokenizer of the real one."""
    parts = FAMILIES[family]
    target = comfy.supported_models_base.ClipTarget(parts.tokenizer, parts.text_model)
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32, **parts.text_configs})
    fill(clip.cond_stage_model, f"{family} clip")
    return clip


@functools.cache
def tiny_vae(family: str) -> comfy.sd.VAE:
    """The VAE of a family."""
    channels = FAMILIES[family].config.latent_format().latent_channels
    ddconfig = {
        "double_z": True,
        "z_channels": channels,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": ddconfig, "embed_dim": channels}
    network = comfy.ldm.models.autoencoder.AutoencoderKL(**params)
    fill(network, f"{family} vae")
    vae = comfy.sd.VAE(sd=network.state_dict(), config={"params": params})
    vae.latent_channels = channels
    return vae


@functools.cache
def tiny_controlnet() -> comfy.controlnet.ControlNet:
    """A ControlNet for the family sd15."""
    config = comfy.supported_models.SD15(FAMILIES["sd15"].unet).unet_config
    network = comfy.cldm.cldm.ControlNet(
        **{name: value for name, value in config.items() if name != "out_channels"},
        hint_channels=3,
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )
    fill(network, "controlnet")
    return comfy.controlnet.ControlNet(network.eval(), load_device=comfy.model_management.get_torch_device())


def fill(network: torch.nn.Module, seed: str) -> None:
    """Random weights that keep the variance of what passes; ComfyUI's layers start with whatever is in memory."""
    for name, weight in network.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        values = torch.randn(weight.shape, generator=generator)
        if weight.ndim > 1:
            values /= values[0].numel() ** 0.5
        elif name.endswith(("weight", "scale")):  # of a norm
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        with torch.no_grad():
            weight.copy_(values)
