"""Speed of a restoration against a straightforward implementation of the classical network, and its memory.

    python tests/bench/dip.py --side 64 --widths 16 16 16 --iterations 60 --rounds 12
    python tests/bench/dip.py --side 128 --iterations 8 --rounds 8 --variants plain ours bfloat16 --memory 0

The plain side is the network of the paper from torch's own modules, and the loop of its code: noise on the input, MSE,
Adam, the average of the outputs. Both sides build their network, train, and average, in turns in one process; ratios
are medians over the rounds, with a bootstrap's 95 % interval. Memory is the process's, after some iterations and after
many. "grouped" trains four copies of our network at once by torch.func.vmap, per image; Linux is needed for memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ncm_lib.dip import DipConfig, SkipConfig, Step, restore
from ncm_lib.dip.networks import build_network

BATCH = 4


class Beside(nn.Module):
    """Two branches, their outputs side by side."""

    def __init__(self, skip: nn.Module, deep: nn.Module) -> None:
        super().__init__()
        self.skip, self.deep = skip, deep

    def forward(self, x: Tensor) -> Tensor:
        """Both branches."""
        return torch.cat([self.deep(x), self.skip(x)], 1)


def block(before: int, after: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Padding, convolution, norm, activation."""
    pad = [nn.ReflectionPad2d(size // 2)] if size > 1 else []
    return [*pad, nn.Conv2d(before, after, size, stride), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]


def scale(before: int, widths: list[int], skip: int = 4) -> list[nn.Module]:
    """One scale and all coarser ones."""
    width, *coarser = widths
    inner = scale(width, coarser) if coarser else []
    deep = nn.Sequential(*block(before, width, 3, 2), *block(width, width, 3), *inner,
                         nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))  # fmt: skip
    merged = skip + (coarser[0] if coarser else width)
    return [Beside(nn.Sequential(*block(before, skip, 1)), deep), nn.BatchNorm2d(merged), *block(merged, width, 3),
            *block(width, width, 1)]  # fmt: skip


def plain(image: Tensor, widths: list[int], iterations: int) -> None:
    """The classical restoration, as one would write it down."""
    net = nn.Sequential(*scale(32, widths), nn.Conv2d(widths[0], 3, 1), nn.Sigmoid())
    z = torch.rand(1, 32, *image.shape[1:]) * 0.1
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    average = None
    for _ in range(iterations):
        optimizer.zero_grad()
        out = net(z + torch.randn_like(z) / 30)
        loss = nn.functional.mse_loss(out, image[None])
        loss.backward()
        optimizer.step()
        average = out.detach() if average is None else 0.99 * average + 0.01 * out.detach()
        loss.item()


def ours(image: Tensor, widths: list[int], iterations: int, **options: object) -> None:
    """The library's."""
    config = DipConfig(network=SkipConfig(widths=tuple(widths)), iterations=iterations)
    restore(image, "denoise", config=config, **options)


def grouped(image: Tensor, widths: list[int], iterations: int) -> None:
    """Four independent networks in one call; the time of one iteration is that of one image."""
    size = (image.shape[1], image.shape[2])
    networks = [build_network(SkipConfig(widths=tuple(widths)), 32, 3, size, seed=k) for k in range(BATCH)]
    stacked, _ = stack_module_state(networks)
    weights = {name: value.detach().clone().requires_grad_() for name, value in stacked.items()}
    optimizer = torch.optim.Adam(weights.values(), lr=0.01, fused=True)
    z = torch.rand(BATCH, 1, 32, *size) * 0.1

    def output(weight: dict[str, Tensor], noise: Tensor) -> Tensor:
        return functional_call(networks[0], weight, (noise,))

    for _ in range(iterations // BATCH):
        optimizer.zero_grad()
        out = vmap(output)(weights, z + torch.randn_like(z) / 30)
        (out - image).square().mean((1, 2, 3, 4)).sum().backward()
        optimizer.step()


VARIANTS: dict[str, Callable[[Tensor, list[int], int], None]] = {
    "plain": plain,
    "ours": ours,
    "contiguous": lambda image, widths, n: ours(image, widths, n, channels_last=False),
    "bfloat16": lambda image, widths, n: ours(image, widths, n, dtype="bfloat16"),
    "compiled": lambda image, widths, n: ours(image, widths, n, compile=True, channels_last=False),
    "grouped": grouped,
}


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % interval of the median, by 2,000 resamples."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (2000, len(ratios))), axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def memory(image: Tensor, widths: list[int], iterations: int) -> None:
    """Print the process's memory on the way through a restoration."""
    seen: list[tuple[int, float]] = []
    page = resource.getpagesize()

    def look(step: Step) -> None:
        if step.iteration in (iterations // 10, iterations // 2, iterations):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((step.iteration, pages * page / 2**20))

    ours(image, widths, iterations, on_step=look)
    print("memory: " + ", ".join(f"{size:.1f} MB after {iteration} iterations" for iteration, size in seen))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--widths", type=int, nargs="+", default=[128] * 5)
    parser.add_argument("--iterations", type=int, default=20, help="per round and variant")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, default=600, help="iterations over which memory is watched; 0: not")
    parser.add_argument("--variants", nargs="+", default=[name for name in VARIANTS if name != "compiled"],
                        choices=list(VARIANTS))  # fmt: skip
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    image = torch.rand(3, args.side, args.side)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in args.variants}
    for name in args.variants:
        VARIANTS[name](image, args.widths, max(args.iterations, BATCH))
    for _ in range(args.rounds):
        for name in args.variants:
            wall, cpu = time.perf_counter(), time.process_time()
            VARIANTS[name](image, args.widths, args.iterations)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    base = np.array(times[args.variants[0]])
    print(f"{args.side} x {args.side}, widths {args.widths}, {args.threads} threads, torch {torch.__version__}")
    for name, values in times.items():
        seconds = np.array(values)
        ratio = base[:, 1] / seconds[:, 1]
        low, high = interval(ratio)
        wall, cpu = args.iterations / np.median(seconds, axis=0)
        print(
            f"{name}: {wall:.1f} iterations/s, {cpu:.1f} per second of CPU time; "
            f"{np.median(ratio):.2f} x {args.variants[0]} (95 % interval {low:.2f} to {high:.2f})"
        )
    if args.memory:
        memory(image, args.widths, args.memory)


if __name__ == "__main__":
    main()
