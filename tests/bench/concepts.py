"""What a step of concept learning costs on Stable Diffusion 1.5, by options.

    python tests/bench/concepts.py                 # 512 px; --resolution 224, --batch 8, --model PATH_TO_SD15_FOLDER

On a GPU: seconds per step and peak memory, measured over real steps of random weights of SD 1.5's shape (or of
``--model``). Without one: operations and parameters, counted by torch over the same modules on the meta device, where
nothing is computed; they say nothing about seconds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from fashion import GARMENTS
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from ncm_lib import ConceptTraining, load_model, load_source, train_concepts
from ncm_lib.training.concepts_lora import lora

UNET = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "cross_attention_dim": 768,
    "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": 8,
    "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
}  # fmt: skip
TEXT = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 77, "projection_dim": 768,
}  # fmt: skip
VAE = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
TOKENS = 77
CLASSES = 200


def main() -> None:
    """Print the table that fits this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=512, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images per step")
    parser.add_argument("--steps", type=int, default=20, help="timed steps on a GPU, after five that are not")
    parser.add_argument("--model", default=None, help="on a GPU: a folder or hub id; without it: random weights")
    args = parser.parse_args()
    if torch.cuda.is_available():
        measured(args.resolution, args.batch, args.steps, args.model)
    else:
        counted(args.resolution, args.batch)


def counted(resolution: int, batch: int) -> None:
    """Parameters, and operations (2 per multiply-add) of a step, by options."""
    with torch.device("meta"):
        parts = UNet2DConditionModel(**UNET), CLIPTextModel(CLIPTextConfig(**TEXT)), AutoencoderKL(**VAE)
    for part in parts:
        part.requires_grad_(False).eval()
    unet, text_encoder, vae = parts
    sizes = {name: sum(value.numel() for value in part.parameters())
             for name, part in zip(("UNet", "text encoder", "autoencoder"), parts, strict=True)}  # fmt: skip
    frozen = sum(sizes.values())
    print("Counted at SD 1.5's shape, not measured: no GPU is here.\n")
    print(f"frozen parameters: {frozen:,} ({', '.join(f'{name} {size:,}' for name, size in sizes.items())}); "
          f"{4 * frozen / 1e9:.2f} GB in fp32, {2 * frozen / 1e9:.2f} GB in fp16 or bf16")  # fmt: skip
    encoding = operations(lambda: vae.encode(torch.empty(1, 3, resolution, resolution, device="meta")))
    print(f"encoding one image of {resolution} px: {encoding / 1e12:.3f} T operations, once per image and flip with "
          f"--cache-latents, else in every step\n")  # fmt: skip
    print(f"| options ({resolution} px, batch {batch}, {CLASSES} classes) | learned parameters | with AdamW's moments "
          f"| T operations per step |\n|---|---|---|---|")  # fmt: skip
    for name, rank, tokens, checkpointing in rows():
        learned, step = one_step(unet, text_encoder, resolution, batch, rank, tokens, checkpointing=checkpointing)
        print(f"| {name} | {learned:,} | {12 * learned / 1e6:.1f} MB | {step / 1e12:.2f} |", flush=True)
    crops = one_step(unet, text_encoder, resolution, batch, 10, 1, checkpointing=False)
    print(f"| rank 10, `--crop random` (no cache) | {crops[0]:,} | {12 * crops[0] / 1e6:.1f} MB | "
          f"{(crops[1] + batch * encoding) / 1e12:.2f} |")  # fmt: skip


def rows() -> Iterator[tuple[str, int, int, bool]]:
    """Name, rank, tokens per class, gradient checkpointing."""
    yield "rank 10, one token per class (the defaults)", 10, 1, False
    yield "rank 10, `--gradient-checkpointing`", 10, 1, True
    yield "rank 10, `--tokens-per-class 4`", 10, 4, False
    yield "rank 64", 64, 1, False
    yield "rank 0: words alone", 0, 1, False


def one_step(
    unet: Any, text_encoder: Any, resolution: int, batch: int, rank: int, tokens: int, *, checkpointing: bool
) -> tuple[int, int]:
    """Learned parameters, and the operations of a forward and a backward pass."""
    vectors = CLASSES * tokens
    # the new words' vectors, where the text encoder looks tokens up
    rows = torch.nn.Parameter(torch.empty(batch, TOKENS, TEXT["hidden_size"], device="meta"))
    handle = text_encoder.get_input_embeddings().register_forward_hook(lambda *_: rows)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    try:
        with lora_on_meta(unet, rank) as adapters:
            learned = vectors * TEXT["hidden_size"] + sum(value.numel() for value in adapters.values())

            def step() -> None:
                states = text_encoder(torch.zeros(batch, TOKENS, dtype=torch.int64, device="meta"))[0]
                latents = torch.empty(batch, 4, resolution // 8, resolution // 8, device="meta")
                times = torch.zeros(batch, dtype=torch.int64, device="meta")
                unet(latents, times, states, return_dict=False)[0].square().mean().backward()

            return learned, operations(step)
    finally:
        handle.remove()
        unet.disable_gradient_checkpointing()


def lora_on_meta(unet: Any, rank: int) -> Any:
    """The LoRA of a training, without numbers in it."""
    with torch.device("meta"):
        return lora(unet, rank=rank, seed=0)


def operations(function: Any) -> int:
    """Operations of a call, 2 per multiply-add."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def measured(resolution: int, batch: int, steps: int, source: str | None) -> None:
    """Median seconds and peak memory of real steps, by options."""
    print(f"Measured on {torch.cuda.get_device_name()}, torch {torch.__version__}, {resolution} px, batch {batch}\n")
    print("| options | seconds per step | peak memory |\n|---|---|---|")
    options: dict[str, dict[str, Any]] = {
        "fp32": {},
        "bf16": {"mixed_precision": "bf16"},
        "fp16": {"mixed_precision": "fp16"},
        "fp16, `--gradient-checkpointing`": {"mixed_precision": "fp16", "gradient_checkpointing": True},
        "fp16, `--gradient-accumulation 4`": {"mixed_precision": "fp16", "gradient_accumulation": 4},
        "fp16, rank 64": {"mixed_precision": "fp16", "rank": 64},
        "fp16, words alone": {"mixed_precision": "fp16", "rank": 0},
        "fp16, `--crop random`": {"mixed_precision": "fp16", "crop": "random"},
    }
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        folder = Path(source) if source else random_model(base / "sd15")
        images = load_source(pictures(base / "images", resolution))
        for number, (name, changes) in enumerate(options.items()):
            config = ConceptTraining(
                steps=steps + 5, batch_size=batch, resolution=resolution, prompt="a photo of a {class}", **changes
            )
            dtype = {"fp16": "fp16", "bf16": "bf16"}.get(str(changes.get("mixed_precision")), "fp32")
            model = load_model(folder, device="cuda", dtype=dtype)
            times: list[float] = []

            def tell(_: Any, times: list[float] = times) -> None:
                torch.cuda.synchronize()
                times.append(time.perf_counter())

            torch.cuda.reset_peak_memory_stats()
            try:
                train_concepts(model, images, out=base / f"out-{number}", config=config, on_progress=tell)
            except ValueError as error:
                print(f"| {name} | {error} | |", flush=True)
                continue
            peak = torch.cuda.max_memory_allocated() / 2**30
            print(f"| {name} | {statistics.median(np.diff(times[4:])):.3f} | {peak:.2f} GiB |", flush=True)
            del model
            torch.cuda.empty_cache()


def random_model(folder: Path) -> Path:
    """A model of SD 1.5's shape with random weights, and the garments model's tokenizer."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(GARMENTS / "tokenizer", model_max_length=TOKENS)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = CLIPTextConfig(**TEXT | ends, pad_token_id=tokenizer.pad_token_id)
    StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE), text_encoder=CLIPTextModel(text), tokenizer=tokenizer,
        unet=UNet2DConditionModel(**UNET), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        scheduler=DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def pictures(folder: Path, side: int) -> Path:
    """Four classes of four images."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        (folder / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


if __name__ == "__main__":
    main()
