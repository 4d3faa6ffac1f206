"""Which adapter serves which diffusers pipeline, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .base import Family
from .flux import Flux1
from .stable_diffusion import StableDiffusion1
from .stable_diffusion_3 import StableDiffusion3
from .stable_diffusion_xl import StableDiffusionXL

_CLIP = {"tokenizer": "CLIPTokenizer", "text_encoder": "CLIPTextModel"}
_TWO_CLIPS = {
    "tokenizer": "CLIPTokenizer",
    "tokenizer_2": "CLIPTokenizer",
    "text_encoder_2": "CLIPTextModelWithProjection",
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A family, as loading knows it."""

    name: str
    adapter: Callable[..., Family]
    parts: dict[str, str]
    """Component -> its class in transformers or diffusers; fixed here, so that no file decides what code runs."""
    optional: frozenset[str] = frozenset()
    """Components that may be left out of a folder."""
    flow: bool = False
    """Whether the model's scheduler is one for flow matching."""
    settings: dict[str, str] = field(default_factory=dict[str, str])
    """Field of the adapter -> the entry of ``model_index.json`` that sets it."""
    needs_no: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the stock pipeline takes beside the parts, to be built without what is not needed here."""
    upcasts: bool = False
    """Whether the autoencoder overflows in float16, unless its config says that it does not (force_upcast)."""
    inversions: bool = True
    """Whether diffusers reads textual inversions for it."""


KINDS: dict[str, Kind] = {
    "StableDiffusionPipeline": Kind(
        name="SD 1.x and 2.x",
        adapter=StableDiffusion1,
        parts={"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"} | _CLIP,
        needs_no={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    ),
    "StableDiffusionXLPipeline": Kind(
        name="SDXL",
        adapter=StableDiffusionXL,
        parts={"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"} | _TWO_CLIPS,
        settings={"zero_negative": "force_zeros_for_empty_prompt"},
        needs_no={"add_watermarker": False},
        upcasts=True,
    ),
    "StableDiffusion3Pipeline": Kind(
        name="SD 3 and 3.5",
        adapter=StableDiffusion3,
        parts={
            "transformer": "SD3Transformer2DModel",
            "vae": "AutoencoderKL",
            "text_encoder": "CLIPTextModelWithProjection",
            "tokenizer_3": "T5TokenizerFast",
            "text_encoder_3": "T5EncoderModel",
        }
        | _TWO_CLIPS,
        optional=frozenset({"tokenizer_3", "text_encoder_3"}),
        flow=True,
        inversions=False,
    ),
    "FluxPipeline": Kind(
        name="FLUX.1",
        adapter=Flux1,
        parts={
            "transformer": "FluxTransformer2DModel",
            "vae": "AutoencoderKL",
            "tokenizer_2": "T5TokenizerFast",
            "text_encoder_2": "T5EncoderModel",
        }
        | _CLIP,
        flow=True,
        inversions=False,
    ),
}
"""By the name of diffusers' pipeline class."""
