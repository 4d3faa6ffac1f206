"""How fast images are made, beside other ways to make them, and where the time goes.

    python tests/bench/generate.py                          # small model, on the CPU
    python tests/bench/generate.py --size sd15              # a GPU: SD 1.5's topology, 512 px, 25 steps, bf16

One process, the same random weights (time and memory depend on shapes alone), the same steps and batch; the ways take
turns. *Ideal*: the operations that the images need (UNet rows and decoding, counted by torch over the real modules)
at the rate of the device's own matrix products, measured in the same turns. On a CPU the shares are of CPU time, since
others may use it; set OMP_NUM_THREADS=1 there. Random numbers, masks and prompts differ between the ways, not in kind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging
from generate_clock import interval, matmul_rate, on_gpu, timed
from generate_options import operators, options
from generate_ways import WAYS, Work, counting, random_model, twin

from ncm_lib.engine.conditioning import stack
from ncm_lib.engine.estimate import count_flops
from ncm_lib.engine.generate import settled
from ncm_lib.engine.memory import is_out_of_memory, release_memory
from ncm_lib.engine.production import Production
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.speed import Speed
from ncm_lib.engine.stats import Stats
from ncm_lib.store.writer import DatasetWriter

PARTS = ("compare", "overhead", "curve", "profile", "operators", "options")
# what each size is measured at, unless told otherwise: image side, steps, batch, images per turn, matrix side
SIZES = {"sd15": (512, 25, 16, 64, 8192), "small": (128, 25, 4, 8, 1024), "tiny": (128, 2, 2, 4, 256)}


def main() -> None:
    """Measure and print, as tables for the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, help="small on a CPU, sd15 on a GPU where it is left out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="bfloat16 on a GPU, else float32")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--side", type=int, help="of the images, in pixels")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--count", type=int, help="images per way and turn")
    parser.add_argument("--turns", type=int, default=5, help="of the comparison and of the options")
    parser.add_argument("--pairs", type=int, default=20, help="of the overhead")
    parser.add_argument("--region", type=int, help="batches of each side of a pair; 4 on a GPU, else 1")
    parser.add_argument("--batches", type=int, nargs="+", help="of the cost curve")
    parser.add_argument("--sides", type=int, nargs="+", help="of the cost curve")
    parser.add_argument("--leave-out", nargs="+", default=(), metavar="OPTION", help="by its name in the table")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet, for all ways")
    parser.add_argument("--channels-last", action="store_true", help="for all ways")
    parser.add_argument("--peak-of", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    gpu = args.device.startswith("cuda")
    args.size = args.size or ("sd15" if gpu else "small")
    side, steps, batch, count, args.matrix = SIZES[args.size]
    dtype = getattr(torch, args.dtype or ("bfloat16" if gpu else "float32"))
    # every way gets its weights and inputs as they are; diffusers' hints do not matter here
    warnings.filterwarnings("ignore", module="diffusers")
    logging.set_verbosity_error()
    speed = Speed(compile=args.compile, channels_last=args.channels_last)
    model = random_model(args.size, args.side or side, args.device, dtype, speed)
    work = Work(
        model=model, side=args.side or side, steps=args.steps or steps, batch=args.batch or batch,
        count=args.count or count,
    )  # fmt: skip
    if args.peak_of:
        with tempfile.TemporaryDirectory() as folder:
            WAYS[args.peak_of][2](twin(work, count=work.batch), Path(folder) / "out")
        print(peak(work))
        return
    name = torch.cuda.get_device_name() if gpu else f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
    print(
        f"{name}, torch {torch.__version__}, {model.dtype}, {args.size} at {work.side} px, {work.steps} steps, ", end=""
    )
    print(f"batches of {work.batch}, speed options: {speed}", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "", flush=True)
    for name in args.parts:
        {"compare": compare, "overhead": overhead, "curve": curve, "profile": profile, "operators": operators,
         "options": options}[name](work, args)  # fmt: skip


def compare(work: Work, args: argparse.Namespace) -> None:
    """The four ways in turns; rows are counted, so that nobody does other work than it says."""
    walls: dict[str, list[float]] = {way: [] for way in WAYS}
    cpus: dict[str, list[float]] = {way: [] for way in WAYS}
    rates: list[float] = []
    cells = work.side // work.model.family.latent_cell
    row, decode = count_flops(work.model, (cells, cells))
    for turn in range(-1, args.turns):
        ways = list(WAYS)
        for way in [*ways[turn % 4 :], *ways[: turn % 4]]:
            # the turn before the first warms up, with a batch
            task = twin(work, count=work.batch) if turn < 0 else work
            with tempfile.TemporaryDirectory() as folder, counting(work.model) as counted:
                wall, cpu = timed(work, lambda way=way, task=task, out=Path(folder): WAYS[way][2](task, out / "out"))
            expected = WAYS[way][1] * task.count * task.steps
            if counted.rows != expected:
                raise RuntimeError(f"Way {way} gave the UNet {counted.rows} rows, not {expected}.")
            if turn >= 0:
                walls[way].append(wall / work.count)
                cpus[way].append(cpu / work.count)
        rates.append(matmul_rate(work, args.matrix))
    rate = float(np.median(rates))
    print(
        f"\nmatrix products: {rate / 1e12:.3f} TFLOP/s; a UNet row {row / 1e9:.3f} GFLOP, decoding {decode / 1e9:.3f}"
    )
    print("| way | images/s | seconds of CPU per image | rows | share of the ideal | beside (a) | peak memory |")
    print("|---|---|---|---|---|---|---|")
    clock = walls if on_gpu(work) else cpus
    for way, (name, rows, _) in WAYS.items():
        # two guided passes make what three rows per step would: their fourth is no part of the ideal
        ideal = (min(rows, 3) * work.steps * row + decode) / rate
        beside = np.array(clock["a"]) / np.array(clock[way])
        low, high = interval(beside)
        print(
            f"| ({way}) {name} | {1 / np.median(walls[way]):.3g} | {np.median(cpus[way]):.3f} | {rows * work.steps} | "
            f"{ideal / np.median(clock[way]):.1%} | {np.median(beside):.3f} x ({low:.3f} to {high:.3f}) | "
            f"{peak_of(way, work):.0f} MB |",
            flush=True,
        )


def overhead(work: Work, args: argparse.Namespace) -> None:
    """Plan, noise, masks, mixing, scheduler, and for the second line writing, beside the model's own calls alone.

    Twice: against the calls alone, made in turns with ours; and inside of ours, the CPU time outside of the calls
    beside that inside of them (one thread), which needs no second run to be compared with.
    """
    batches = args.region or (4 if on_gpu(work) else 1)
    renderer = Renderer(work.model, work.settings)
    total = (2 * args.pairs + 2) * batches * work.batch
    family, device = work.model.family, work.model.device
    cells = work.side // family.latent_cell
    latents = torch.randn(3 * work.batch, 4, cells, cells, device=device)
    with torch.inference_mode():
        conditioning = stack(list(family.encode(["a photo of a bag"])) * (3 * work.batch))
    timesteps = torch.linspace(999, 40, work.steps).round().long().to(device)

    @torch.inference_mode()
    def bare(decoded: bool) -> None:
        for _ in range(batches):
            for timestep in timesteps:
                family.predict(latents, timestep, conditioning)
            if decoded:
                renderer.images(latents[: work.batch])

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        method, manifest = settled(
            work.method, renderer, out=out, count=total, seed=0, batch_size=work.batch, image_format="png"
        )
        with DatasetWriter(out, manifest) as writer:
            stats = Stats(batch_shape=work.batch)
            production = Production(
                method, renderer, writer, batch_shape=work.batch, save_masks=True, stats=stats, tell=lambda _: None
            )
            fresh = iter(np.arange(total).reshape(-1, batches * work.batch).tolist())

            def sample() -> None:
                indices = next(fresh)
                for start in range(0, len(indices), work.batch):
                    samples = [method.plan_one(index) for index in indices[start : start + work.batch]]
                    renderer.latents(samples)

            region = f"{args.pairs} pairs of {batches * work.batch} images, {work.steps} steps"
            print(f"\n| beside the UNet calls of the same rows ({region}) | wall | CPU time | outside of calls, CPU |")
            print("|---|---|---|---|")
            single = not on_gpu(work) and torch.get_num_threads() == 1
            for name, ours, decoded in (
                ("plan, noise, masks, mixing, guidance, scheduler", sample, False),
                ("the same with decoding on both sides, and images, masks and records written",
                 lambda: production.make(next(fresh)), True),
            ):  # fmt: skip
                rows, ratios = [], []
                for pair in range(-1, args.pairs):
                    seconds = {}
                    for side in (0, 1) if pair % 2 else (1, 0):
                        inside: list[float] = []
                        with counting(work.model) as counted, clocked(family.unet, family.vae.decoder, spent=inside):
                            call = ours if side else partial(bare, decoded)
                            seconds[side] = (*timed(work, call), sum(inside))
                        rows.append(counted.rows)
                    if pair >= 0:
                        compared = [own / base for own, base in zip(seconds[1][:2], seconds[0][:2], strict=True)]
                        ratios.append([*compared, *([seconds[1][1] / seconds[1][2]] if single else [])])
                if set(rows) != {3 * work.batch * work.steps * batches}:
                    raise RuntimeError(f"The two sides gave the UNet different rows: {sorted(set(rows))}.")
                print(f"| {name} | {' | '.join(_percent(np.array(column)) for column in zip(*ratios, strict=True))} |")
            if stats.retried or stats.failed:
                raise RuntimeError("Images were made twice, so the times cannot be compared.")


@contextmanager
def clocked(*modules: Any, spent: list[float]) -> Iterator[None]:
    """Collect the CPU seconds that the calling thread spends inside of the modules' calls."""
    begun = threading.local()

    def enter(*_: Any) -> None:
        begun.at = time.thread_time()

    def leave(*_: Any) -> None:
        spent.append(time.thread_time() - begun.at)

    hooks = [
        hook
        for module in modules
        for hook in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _percent(ratios: np.ndarray) -> str:
    low, high = interval(ratios)
    return f"{np.median(ratios) - 1:+.2%} ({low - 1:+.2%} to {high - 1:+.2%})"


def curve(work: Work, args: argparse.Namespace) -> None:
    """Seconds per image over batch size and resolution: denoising and decoding, the best of three."""
    gpu = on_gpu(work)
    batches = args.batches or ([1, 2, 4, 8, 16, 32, 64] if gpu else [1, 2, 4, 8])
    sides = args.sides or [work.side // 2, work.side, work.side * 3 // 2]
    print(f"\n| {'seconds' if gpu else 'seconds of CPU'} per image, batches of | {' | '.join(map(str, batches))} |")
    print("|---" * (len(batches) + 1) + "|")
    for side in sides:
        cells = []
        for batch in batches:
            task = twin(work, side=side, batch=batch)
            cells.append(_best(task))
        print(f"| {side} px | {' | '.join(cells)} |", flush=True)


def _best(work: Work) -> str:
    renderer = Renderer(work.model, work.settings)
    height, width = renderer.latent_size
    method = work.method.resolved(seed=0, latent_height=height, latent_width=width, latent_cell=8)
    samples = [method.plan_one(index) for index in range(work.batch)]
    try:
        times = [timed(work, lambda: renderer.images(renderer.latents(samples))) for _ in range(3)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        release_memory()
        return "does not fit"
    return f"{min(wall if on_gpu(work) else cpu for wall, cpu in times) / work.batch:.3g}"


def profile(work: Work, _: argparse.Namespace) -> None:
    """Where the time of a run goes, by part; decoding and writing run beside the denoising of the next batch."""
    family = work.model.family
    modules = {"text encoder": family.text_encoder, "UNet calls": family.unet, "decoding": family.vae.decoder}
    spans: dict[str, list[Callable[[], float]]] = {name: [] for name in modules}
    with tempfile.TemporaryDirectory() as folder:
        with ExitStack() as stack_of_hooks:
            for name, module in modules.items():
                stack_of_hooks.enter_context(spanned(work, module, spans[name]))
            whole, _cpu = timed(work, lambda: WAYS["d"][2](work, Path(folder) / "set"))
        shares = {name: sum(span() for span in parts) for name, parts in spans.items()}
        stats = json.loads((Path(folder) / "set" / "stats.jsonl").read_text())
    named = {name: stats[f"seconds_{name}"] for name in ("opening", "denoising", "writing", "closing")}
    if on_gpu(work):
        # nothing in the loop waits for the GPU, so the clock of the loop says nothing about it
        rest = whole - sum(shares.values()) - named["opening"] - named["closing"]
        shares["the rest, GPU idle included"] = rest
    else:
        between = named["denoising"] - shares["UNet calls"]
        shares["between UNet calls: noise, masks, mixing, guidance, scheduler"] = between
    shares["PNG, masks, records, fsync"] = named["writing"]
    shares["opening the data set"] = named["opening"]
    shares["closing it: index, labels, preview"] = named["closing"]
    print(f"\n| part of a run of {work.count} images, {whole:.2f} s | share of wall time |\n|---|---|")
    for name, value in shares.items():
        print(f"| {name} | {value / whole:.2%} |")


@contextmanager
def spanned(work: Work, module: Any, spans: list[Callable[[], float]]) -> Iterator[None]:
    """Collect the seconds of each call of a module, by the GPU's own clock where there is one."""
    begun: list[Any] = []

    def now() -> Any:
        if not on_gpu(work):
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def end(*_: Any) -> None:
        first, last = begun.pop(), now()
        spans.append(lambda: first.elapsed_time(last) / 1000 if on_gpu(work) else last - first)

    hooks = [module.register_forward_pre_hook(lambda *_: begun.append(now())), module.register_forward_hook(end)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def peak_of(way: str, work: Work) -> float:
    """Megabytes at the peak of one batch in a fresh process: the GPU's, or the whole process's."""
    model = work.model
    options = {"size": model.name, "device": model.device, "dtype": str(model.dtype).removeprefix("torch."),
               "side": work.side, "steps": work.steps, "batch": work.batch, "peak-of": way}  # fmt: skip
    words = [f"--{name}={value}" for name, value in options.items()]
    words += ["--channels-last"] if model.speed.channels_last else []
    words += ["--compile"] if model.speed.compile else []
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, env=os.environ)
    return float(done.stdout.split()[-1])


def peak(work: Work) -> float:
    """Megabytes at the peak of this process: of the GPU, or of the process."""
    if on_gpu(work):
        return torch.cuda.max_memory_allocated() / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6


if __name__ == "__main__":
    main()
