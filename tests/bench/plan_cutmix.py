"""How long a plan of a million CutMix boxes takes on one core: `python tests/bench/plan_cutmix.py`."""

import time

from ncm_lib.maths.masks import plan_cutmix

if __name__ == "__main__":
    for alpha in (1.0, 0.2):
        for placement in ("truncate", "inside"):
            wall, cpu = time.perf_counter(), time.process_time()
            plan_cutmix(1_000_000, 64, 64, alpha=alpha, placement=placement)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"alpha {alpha}, {placement}: {wall:.2f} s of wall clock, {cpu:.2f} s of one core")
