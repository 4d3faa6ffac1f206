"""The ways to make the same kind of images that ``generate.py`` sets side by side, and the model that they share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from diffusers import UNet2DConditionModel as UNet
from fashion import GARMENTS
from PIL import Image
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ncm_lib import ClassList, NoiseCutMix, RenderSettings, generate
from ncm_lib.engine.families.stable_diffusion import StableDiffusion1
from ncm_lib.engine.load import Model, ModelDefaults
from ncm_lib.engine.speed import Speed, speed_up

CLASSES = ClassList.of(["bag", "coat", "dress", "sneaker"])
GUIDANCE = 7.5
# UNet channels, VAE channels, width, layers and tokens of the text encoder
SHAPES = {
    "sd15": ((320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12, 77),
    "small": ((64, 128, 256, 256), (32, 64, 128, 128), 128, 4, 77),
    "tiny": ((32, 32, 32, 32), (32, 32, 32, 32), 32, 1, 77),
}


def random_model(shape: str, side: int, device: str, dtype: torch.dtype, speed: Speed) -> Model:
    """SD 1.5's topology with random weights: time and memory depend on shapes, not on what was learned."""
    unet_channels, vae_channels, width, layers, tokens = SHAPES[shape]
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(GARMENTS / "tokenizer", model_max_length=tokens)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 1), max_position_embeddings=tokens,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    parts: dict[str, Any] = {
        "unet": UNet(
            sample_size=side // 8, block_out_channels=unet_channels, cross_attention_dim=width, attention_head_dim=8
        ),
        "vae": AutoencoderKL(
            block_out_channels=vae_channels, layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        "text_encoder": CLIPTextModel(text),
    }  # fmt: skip
    for part in parts.values():
        part.to(dtype).to(device).eval().requires_grad_(False)
    speed_up(parts, speed, torch.device(device), dtype)
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
    )
    target = torch.device(device)
    family = StableDiffusion1(**parts, tokenizer=tokenizer, scheduler=scheduler, device=target, dtype=dtype)
    return Model(
        name=shape, family=family, device=target, dtype=dtype, fingerprint="random", classes=CLASSES, speed=speed,
        defaults=ModelDefaults(guidance_scale=GUIDANCE),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every way has to do."""

    model: Model
    side: int
    steps: int
    batch: int
    count: int

    @property
    def settings(self) -> RenderSettings:
        return RenderSettings(
            num_inference_steps=self.steps, guidance_scale=GUIDANCE, height=self.side, width=self.side
        )

    @property
    def method(self) -> NoiseCutMix:
        return NoiseCutMix(classes=CLASSES)


@dataclass
class Rows:
    """How many rows the UNet was given."""

    rows: int = 0
    calls: list[int] = field(default_factory=list)


@contextmanager
def counting(model: Model) -> Iterator[Rows]:
    """Count the UNet's rows in the block."""
    counted = Rows()

    def see(_module: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        latents = args[0] if args else kwargs["sample"]
        counted.rows += len(latents)
        counted.calls.append(len(latents))

    hook = model.family.unet.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield counted
    finally:
        hook.remove()


def plain(work: Work, out: Path, *, passes: bool = False) -> None:
    """A script as one writes it for a paper: prompts encoded per batch, PNGs written in between, labels at the end.

    With ``passes`` each prompt has a guided pass of its own (4N rows), else both share one unconditional row (3N).
    """
    family, device, dtype = work.model.family, work.model.device, work.model.dtype
    names, generator = CLASSES.names, torch.Generator().manual_seed(0)
    draw = np.random.default_rng(0)
    scheduler = DPMSolverMultistepScheduler.from_config(family.scheduler.config)
    labels = np.zeros((work.count, len(names)), np.float32)
    cells = work.side // 8
    out.mkdir(parents=True)
    for start in range(0, work.count, work.batch):
        size = min(work.batch, work.count - start)
        pairs = [draw.choice(len(names), 2, replace=False) for _ in range(size)]
        encoded = [_encode(family, [f"a photo of a {names[pair[k]]}" for pair in pairs]).to(dtype) for k in range(2)]
        empty = _encode(family, [""] * size).to(dtype)
        mask = torch.ones(size, 1, cells, cells)
        for row, pair in enumerate(pairs):
            lam = draw.random()
            cut = int(cells * np.sqrt(1 - lam))
            top, left = (int(draw.integers(0, cells - cut + 1)) for _ in range(2))
            mask[row, :, top : top + cut, left : left + cut] = 0
            share = float(mask[row].mean())
            labels[start + row, pair] = share, 1 - share
        mask = mask.to(device)
        latents = torch.randn(size, 4, cells, cells, generator=generator).to(device)
        scheduler.set_timesteps(work.steps)
        latents = latents * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            given = scheduler.scale_model_input(latents, timestep).to(dtype)
            if passes:
                guided = []
                for prompt in encoded:
                    both = family.unet(given.repeat(2, 1, 1, 1), timestep, torch.cat([empty, prompt])).sample.float()
                    base, own = both.chunk(2)
                    guided.append(base + GUIDANCE * (own - base))
                noise = mask * guided[0] + (1 - mask) * guided[1]
            else:
                rows = family.unet(given.repeat(3, 1, 1, 1), timestep, torch.cat([empty, *encoded])).sample.float()
                base, first, second = rows.chunk(3)
                mixed = mask * first + (1 - mask) * second
                noise = base + GUIDANCE * (mixed - base)
            latents = scheduler.step(noise, timestep, latents).prev_sample
        decoded = family.vae.decode(latents.to(dtype) / family.vae.config.scaling_factor).sample.float()
        pixels = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        for row, image in enumerate((pixels * 255).round().astype(np.uint8)):
            Image.fromarray(image).save(out / f"{start + row:06d}.png")
    np.save(out / "labels.npy", labels)


def _encode(family: StableDiffusion1, prompts: list[str]) -> Tensor:
    ids = family.tokenizer(
        prompts, padding="max_length", truncation=True, max_length=family.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    return family.text_encoder(ids.to(family.device))[0]


def stock(work: Work, out: Path) -> None:
    """diffusers' own pipeline with one class per image: what the images cost without mixing (2N rows)."""
    family = work.model.family
    pipe = StableDiffusionPipeline(
        vae=family.vae, text_encoder=family.text_encoder, tokenizer=family.tokenizer, unet=family.unet,
        scheduler=DPMSolverMultistepScheduler.from_config(family.scheduler.config), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    out.mkdir(parents=True)
    for start in range(0, work.count, work.batch):
        size = min(work.batch, work.count - start)
        prompts = [f"a photo of a {CLASSES.names[(start + row) % len(CLASSES)]}" for row in range(size)]
        images = pipe(
            prompts, num_inference_steps=work.steps, guidance_scale=GUIDANCE, height=work.side, width=work.side
        ).images
        for row, image in enumerate(images):
            image.save(out / f"{start + row:06d}.png")


def ours(work: Work, out: Path) -> None:
    """``generate``, with its plan, its store, its index and its preview."""
    done = generate(work.method, work.model, out=out, count=work.count, batch_size=work.batch, settings=work.settings)
    if done.made != work.count:
        raise RuntimeError(f"{done.made} of {work.count} images were made, so the times cannot be compared.")


WAYS: dict[str, tuple[str, int, Callable[[Work, Path], None]]] = {
    "a": ("plain script, 3N rows", 3, torch.inference_mode()(plain)),
    "b": ("two guided passes, 4N rows", 4, torch.inference_mode()(lambda work, out: plain(work, out, passes=True))),
    "c": ("stock diffusers, one prompt, 2N rows", 2, stock),
    "d": ("ours, 3N rows", 3, ours),
}
"""Name, UNet rows per image and step, and the way itself; each makes a new folder."""


def twin(work: Work, **changes: Any) -> Work:
    """The same work with other numbers."""
    return Work(**{**vars(copy.copy(work)), **changes})
