"""Time and peak memory of planning a million samples, for each policy: `python tests/bench/plan_table.py`."""

import time
import tracemalloc

import numpy as np

from ncm_lib import ClassList, NoiseCutMix

SAMPLES = 1_000_000


def methods(num_classes: int) -> dict[str, NoiseCutMix]:
    """A method per policy, by what is special about it."""
    random = np.random.default_rng(0)
    classes = ClassList.of(f"class {k}" for k in range(num_classes))
    # as many zeros as a classifier's matrix has
    confusion = (random.poisson(0.3, (num_classes, num_classes)) + 40 * np.eye(num_classes)).tolist()
    long_tail = [max(int(500 * 0.01 ** (k / (num_classes - 1))), 1) for k in range(num_classes)]
    variants = {
        "uniform": {},
        "uniform, long-tail counts": {"class_counts": long_tail},
        "balanced": {"pair_policy": "balanced"},
        "balanced, long-tail counts": {"pair_policy": "balanced", "class_counts": long_tail},
        "confusion": {"pair_policy": "confusion", "confusion": confusion},
        "confusion, long-tail counts": {
            "pair_policy": "confusion", "confusion": confusion, "class_counts": long_tail
        },
        "any": {"pair_policy": "any"},
        "balanced, alpha 0.2, pixel grid": {"pair_policy": "balanced", "alpha": 0.2, "grid": "pixel"},
    }  # fmt: skip
    return {name: NoiseCutMix(classes=classes, **fields) for name, fields in variants.items()}


if __name__ == "__main__":
    print(f"{SAMPLES:,} samples\n")
    print("| classes | policy | wall clock | one core | peak memory | plan_one |\n|---|---|---|---|---|---|")
    for num_classes in (10, 200, 1000):
        for name, method in methods(num_classes).items():
            wall, cpu = time.perf_counter(), time.process_time()
            method.plan(0, SAMPLES)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            single = time.process_time()
            for index in range(200):
                method.plan_one(index * 4999)
            single = (time.process_time() - single) / 200
            tracemalloc.start()  # NumPy reports its arrays to it; it would slow the timing down
            method.plan(0, SAMPLES)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            print(
                f"| {num_classes} | {name} | {wall:.2f} s | {cpu:.2f} s | {peak / 1e6:.0f} MB | {single * 1e3:.1f} ms |"
            )
