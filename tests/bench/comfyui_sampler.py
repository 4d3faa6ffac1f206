"""Time and memory of the Dual-Prompt Mixed Sampler against the stock ComfyUI graph that gives the same latents.

    python tests/bench/comfyui_sampler.py --pairs 40

Both sides take the same model (an SD 1.5 of 64 channels with random weights), prompts, binary mask and steps. Times are
of pairs that take turns in one process; their ratio is the median of the pairs' ratios, with a bootstrap's 95 %
interval. Memory is the peak in a fresh process while it samples: the whole process, and torch's tensors without the
weights. The ComfyUI is the one that the tests use (tests/comfyui/installation.py), and Linux is needed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
SIDES = ("ours", "stock")
# glibc then gives back at once what is freed; else two runs of the same program differ by a tenth.
STRICT_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="timed pairs")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes of each side, for memory")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", choices=["time", *SIDES], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return

    times = run_worker(args, "time")
    for clock in ("wall clock", "CPU time"):
        ours, stock = (np.array(times[side][clock]) for side in SIDES)
        low, high = interval(ours / stock)
        print(
            f"{clock}, ours / stock: {np.median(ours / stock):.4f} (95 % interval {low:.4f} to {high:.4f}, "
            f"{args.pairs} pairs); a step takes {1000 * np.median(ours) / args.steps:.0f} ms"
        )
    runs = [[run_worker(args, side) for side in SIDES] for _ in range(args.processes)]
    for what in ("process", "tensors"):
        ours, stock = (np.array([pair[side][what] for pair in runs]) for side in range(2))
        low, high = interval(ours / stock)
        print(
            f"peak memory ({what}), ours / stock: {np.median(ours / stock):.4f} (95 % interval {low:.4f} to "
            f"{high:.4f}, {args.processes} pairs of processes); {np.median(ours):.1f} and {np.median(stock):.1f} MB"
        )


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the median, by 10,000 resamples."""
    picks = np.random.default_rng(0).integers(len(ratios), size=(10_000, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5])
    return float(low), float(high)


def run_worker(args: argparse.Namespace, what: str) -> dict[str, Any]:
    """Run this file in ComfyUI's own Python; its last line is the result."""
    spec = importlib.util.spec_from_file_location("installation", TESTS / "comfyui" / "installation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    comfyui = module.installation()
    options = [f"--{name}={getattr(args, name)}" for name in ("pairs", "steps", "threads")]
    environment = comfyui.environment() | {"OMP_NUM_THREADS": str(args.threads)}
    if what in SIDES:
        environment |= STRICT_MALLOC
    run = subprocess.run(
        [comfyui.python, __file__, "--worker", what, *options], cwd=comfyui.checkout, check=False, text=True,
        env=environment, capture_output=True,
    )  # fmt: skip
    if run.returncode:
        sys.exit(f"The process inside ComfyUI failed:\n{run.stderr[-4000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def work(args: argparse.Namespace) -> None:
    """In ComfyUI's Python: sample, and print what was measured as one line of JSON."""
    # the script's own folder gives way to the checkout, whose `main` and `nodes` are meant
    sys.path[0] = str(Path.cwd())
    sys.path.append(str(TESTS / "comfyui" / "inside"))
    with tempfile.TemporaryDirectory() as folder:
        sides = samplers(Path(folder) / "base", args.steps)
        result = take_times(sides, args.pairs) if args.worker == "time" else take_memory(sides[args.worker])
    print(json.dumps(result), flush=True)
    # ComfyUI's threads would keep the process
    os._exit(0)


def samplers(base: Path, steps: int) -> dict[str, Callable[[], Any]]:
    """What samples, by side: with the same latents, as a first run of each shows."""
    from harness.comfyui import ComfyUI

    node = ComfyUI(base).nodes
    import comfy.utils
    import torch

    # nodes that are called by hand belong to no prompt, whose progress could be told
    comfy.utils.set_progress_bar_global_hook(None)
    comfy.utils.set_progress_bar_enabled(False)
    tiny = sys.modules[node["NCMTest_Given"].__module__.removesuffix(".given") + ".tiny_models"]
    family = tiny.Family(
        **{**vars(tiny.FAMILIES["sd15"]), "unet": {**tiny.FAMILIES["sd15"].unet, "model_channels": 64}}
    )
    model, clip = tiny.make_model(family, "bench"), tiny.tiny_clip("sd15")
    settings = {"seed": 1, "steps": steps, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "normal",
                "denoise": 1.0}  # fmt: skip
    mask = torch.ones(1, 16, 16)
    mask[:, 4:12, 4:12] = 0

    def encode(text: str) -> Any:
        return node["CLIPTextEncode"]().encode(clip, text)[0]

    with torch.inference_mode():
        prompts = [encode(text) for text in ("a robin on a branch", "a red balloon", "blurry")]

    @torch.inference_mode()
    def ours() -> Any:
        latent = node["EmptyLatentImage"]().generate(128, 128, 2)[0]
        sampler = node["NCM_DualPromptMixedSampler"]
        return sampler.execute(model, *prompts, latent_image=latent, mask=mask, **settings)[0]["samples"]

    @torch.inference_mode()
    def stock() -> Any:
        latent = node["EmptyLatentImage"]().generate(128, 128, 2)[0]
        confine = node["ConditioningSetMask"]().append
        shares = [confine(prompts[k], share, "default", 1.0)[0] for k, share in enumerate((mask, 1 - mask))]
        positive = node["ConditioningCombine"]().combine(*shares)[0]
        sampled = node["KSampler"]().sample(
            model, positive=positive, negative=prompts[2], latent_image=latent, **settings
        )
        return sampled[0]["samples"]

    return {"ours": ours, "stock": stock}


def take_times(sides: dict[str, Callable[[], Any]], pairs: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each run, by side and clock; the sides take turns in going first."""
    warm = [sample() for sample in sides.values()]
    if not (warm[0] == warm[1]).all():
        raise RuntimeError("The two sides give different latents, so their times cannot be compared.")
    times: dict[str, dict[str, list[float]]] = {side: {"wall clock": [], "CPU time": []} for side in sides}
    for pair in range(pairs):
        for side in sorted(sides, reverse=bool(pair % 2)):
            wall, cpu = time.perf_counter(), time.process_time()
            sides[side]()
            times[side]["wall clock"].append(time.perf_counter() - wall)
            times[side]["CPU time"].append(time.process_time() - cpu)
    return times


def take_memory(sample: Callable[[], Any]) -> dict[str, float]:
    """Megabytes: the process's peak while it samples, and the peak of what torch allocates for it."""
    # from here on, the peak is this moment's or later
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    sample()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return {"process": peak / 1000, "tensors": tensor_peak(sample)}


def tensor_peak(sample: Callable[[], Any]) -> float:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        sample()
    changes = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())])
    return float(held.max()) / 1e6


if __name__ == "__main__":
    main()
