"""Models of every family: real classes with random weights, as diffusers' own tests build them, saved to disk."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from .garments import GARMENTS

FAMILIES = ("sd1", "sd2", "sdxl", "sd35", "flux-dev", "flux-schnell")


def save_tiny(family: str, folder: Path) -> None:
    """Build a family's model, 16 px by default where its config says so, and save it in diffusers' layout."""
    torch.manual_seed(FAMILIES.index(family))
    {"sd1": _sd, "sd2": _sd, "sdxl": _sdxl, "sd35": _sd35}.get(family, _flux)(family).save_pretrained(folder)


def _clip_tokenizer() -> Any:
    return CLIPTokenizer.from_pretrained(GARMENTS / "tokenizer")


def _t5_tokenizer() -> Any:
    words = [f"▁{word}" for word in ["a", "photo", "of", "sneaker", "bag", "coat", "dress", "shirt", "over", "snow"]]
    letters = [*string.ascii_letters, *string.digits, *".,<>-_", "▁"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    vocabulary = [*special, *((piece, -4.0) for piece in letters), *((word, -1.0) for word in words)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0)


def _clip(kind: Any, width: int = 32, layers: int = 2, projection: int = 32) -> Any:
    tokenizer = _clip_tokenizer()
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=64, num_hidden_layers=layers,
            num_attention_heads=4, projection_dim=projection, max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, hidden_act="gelu",
        )
    )  # fmt: skip


def _t5(width: int) -> Any:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(_t5_tokenizer()), d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
            relative_attention_num_buckets=8, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
        )
    )  # fmt: skip


def _vae(channels: int = 4, **more: Any) -> Any:
    return AutoencoderKL(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=channels, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
    )  # fmt: skip


def _unet(**more: Any) -> Any:
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, use_linear_projection=True,
        attention_head_dim=(2, 4), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more,
    )  # fmt: skip


_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}


def _sd(family: str) -> Any:
    predicts = "epsilon" if family == "sd1" else "v_prediction"
    return StableDiffusionPipeline(
        vae=_vae(), text_encoder=_clip(CLIPTextModel), tokenizer=_clip_tokenizer(), unet=_unet(cross_attention_dim=32),
        scheduler=DDIMScheduler(**_BETAS, set_alpha_to_one=False, steps_offset=1, prediction_type=predicts),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _sdxl(_: str) -> Any:
    unet = _unet(
        cross_attention_dim=56, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=6 * 8 + 20,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025), unet=unet, tokenizer=_clip_tokenizer(), tokenizer_2=_clip_tokenizer(),
        text_encoder=_clip(CLIPTextModel), text_encoder_2=_clip(CLIPTextModelWithProjection, 24, 3, 20),
        scheduler=DDIMScheduler(**_BETAS, set_alpha_to_one=False, steps_offset=1), force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )  # fmt: skip


def _sd35(_: str) -> Any:
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=80, caption_projection_dim=32, pooled_projection_dim=32 + 20,
        pos_embed_max_size=16, qk_norm="rms_norm", dual_attention_layers=(0,),
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, vae=_vae(16, scaling_factor=1.5305, shift_factor=0.0609),
        tokenizer=_clip_tokenizer(), tokenizer_2=_clip_tokenizer(), tokenizer_3=_t5_tokenizer(),
        text_encoder=_clip(CLIPTextModelWithProjection),
        text_encoder_2=_clip(CLIPTextModelWithProjection, 24, 3, 20), text_encoder_3=_t5(80),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def _flux(family: str) -> Any:
    dev = family == "flux-dev"
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=dev,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        tokenizer=_clip_tokenizer(), tokenizer_2=_t5_tokenizer(), text_encoder=_clip(CLIPTextModel),
        text_encoder_2=_t5(32),
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0 if dev else 1.0, use_dynamic_shifting=dev, base_shift=0.5, max_shift=1.15,
        ),
    )  # fmt: skip
