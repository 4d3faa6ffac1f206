"""Two parts of ``generate.py``: what each exact speed option gains by itself, and what operators take the time."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from generate_clock import interval, on_gpu, timed
from generate_ways import Work, random_model, twin
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiled

from ncm_lib import InputError
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.speed import Speed

ATTENTIONS = ("flash", "efficient", "cudnn", "math")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# what torch's operators are called -> what they do; the first that fits
KINDS = (
    ("conv", "convolutions"), ("scaled_dot_product", "attention"), ("flash", "attention"), ("softmax", "attention"),
    ("bmm", "attention"), ("mm", "linear layers"), ("linear", "linear layers"), ("norm", "norms"),
)  # fmt: skip


def options(work: Work, args: argparse.Namespace) -> None:
    """A batch, denoised and decoded, under one option at a time, beside the plain model; in turns."""
    makers: dict[str, Callable[[], Any]] = {"plain": lambda: _model(work, Speed())}
    for name, speed in {
        "channels_last": Speed(channels_last=True),
        "slice_decoding": Speed(slice_decoding=True),
        **{f"attention {name}": Speed(attention=name) for name in ATTENTIONS},
        "compile": Speed(compile=True),
        "compile, channels_last": Speed(compile=True, channels_last=True),
    }.items():
        makers[name] = lambda speed=speed: _model(work, speed)
    for dtype in DTYPES:
        if dtype != work.model.dtype:
            makers[str(dtype).removeprefix("torch.")] = lambda dtype=dtype: _model(work, Speed(), dtype)
    runs: dict[str, Callable[[], Any]] = {}
    for name, maker in makers.items():
        if name in args.leave_out:
            continue
        try:
            runs[name] = _batch(twin(work, model=maker()))
            runs[name]()
        except (InputError, RuntimeError) as error:
            print(f"{name} does not run here: {str(error).splitlines()[0]}", flush=True)
            runs.pop(name, None)
    if not on_gpu(work) and "threads" not in args.leave_out:
        plain, threads = runs["plain"], torch.get_num_threads()

        def more() -> None:
            torch.set_num_threads(threads + 1)
            try:
                plain()
            finally:
                torch.set_num_threads(threads)

        runs[f"{threads + 1} threads in place of {threads}"] = more
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    memory: dict[str, int] = {}
    for turn in range(args.turns):
        names = list(runs)
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            held = _reset(work)
            seconds[name].append(timed(work, runs[name]))
            memory[name] = _peak(work) - held
    print(
        f"\n| a batch of {work.batch}, {args.turns} turns | wall time beside plain | CPU time beside plain | memory |"
    )
    print("|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = np.array(taken) / np.array(seconds["plain"])
        shown = [f"{np.median(r):.2f} x ({interval(r)[0]:.2f} to {interval(r)[1]:.2f})" for r in ratios.T]
        held = f"{memory[name] / 1e6:.0f} MB beside the weights" if on_gpu(work) else ""
        print(f"| {name} | {shown[0]} | {shown[1]} | {held} |", flush=True)


def operators(work: Work, _: argparse.Namespace) -> None:
    """The kinds of operators that a run of a batch spends its time in, by torch's profiler."""
    run, gpu = _batch(work), on_gpu(work)
    run()
    with profiled(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as results:
        timed(work, run)
    taken: dict[str, float] = defaultdict(float)
    for event in results.key_averages():
        kind = next((kind for part, kind in KINDS if part in event.key.lower()), "the rest: activations, copies, sums")
        taken[kind] += event.self_device_time_total if gpu else event.self_cpu_time_total
    whole = sum(taken.values())
    print("\n| operators of a batch, denoised and decoded | share of the time |\n|---|---|")
    for kind, microseconds in sorted(taken.items(), key=lambda item: -item[1]):
        print(f"| {kind} | {microseconds / whole:.1%} |")


def _model(work: Work, speed: Speed, dtype: torch.dtype | None = None) -> Any:
    model = work.model
    return random_model(model.name, work.side, str(model.device), dtype or model.dtype, speed)


def _batch(work: Work) -> Callable[[], Any]:
    renderer = Renderer(work.model, work.settings)
    height, width = renderer.latent_size
    method = work.method.resolved(seed=0, latent_height=height, latent_width=width, latent_cell=8)
    samples = [method.plan_one(index) for index in range(work.batch)]
    return lambda: renderer.images(renderer.latents(samples))


def _reset(work: Work) -> int:
    if not on_gpu(work):
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def _peak(work: Work) -> int:
    return torch.cuda.max_memory_allocated() if on_gpu(work) else 0
