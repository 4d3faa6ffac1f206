"""``ncm compare``: methods x shots x seeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare ways to augment: every row of a plan at every number of shots and with every seed.

    The plan is a TOML file:

    .. code-block:: toml

        shots = [10, 50]                    # real images per class; "all" is every image
        seeds = [0, 1, 2, 3, 4]             # each changes the subset, the generator and the classifier
        baseline = "original"
        data = { train = "birds/train", test = "birds/test", meta_class = "bird" }
        classifier = { model = "resnet-32px", epochs = 60 }      # options of train-classifier, and protocol
        render = { num_inference_steps = 25 }

        [at.50]                             # what is otherwise at 50 shots
        multiplier = 2
        classifier = { epochs = 30 }

        [generators.sd]
        model = "sd15"
        concepts = { steps = 2000, learning_rate = 1e-4 }        # options of train-concepts; leave out for none

        [[rows]]
        name = "original"
        [[rows]]
        name = "cutmix"
        classifier = { pixel = "cutmix" }
        [[rows]]
        name = "noisecutmix"
        method = "noisecutmix"
        [[rows]]
        name = "diff-ii"
        method = "diff-ii"
        multiplier = 5                                           # synthetic images per real one
        options = { suffix_fraction = 0.0 }
        classifier = { use = "replace" }
        filter = { model = "birds-classifier", keep = 0.8 }      # options of filter: marks alone, for this row; or
                                                                 # row = "original": that cell's own classifier

    Writes report.html, report.md, results.jsonl and, with the extra data, results.parquet. The same command goes on
    where it stopped, and makes again only what failed or changed. Exit code 1: some cells failed; the report has them.

    For example:

    - ncm compare plan.toml --out comparison --jobs 4
    - ncm compare plan.toml --out comparison --only noisecutmix/10/0
    """

    plan: tyro.conf.Positional[Path]
    """The TOML file. Paths in it start from its folder."""
    out: Path
    """Folder of the comparison; continued where it is unfinished."""
    jobs: int = 1
    """Tasks at a time, each in a process with the plan's number of threads."""
    only: tuple[str, ...] = ()
    """Cells to run, as ROW/SHOTS/SEED; * stands for any. The report shows all that are there."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..training.compare import compare
        from .bars import Bar
        from .quiet import quiet

        quiet()
        bar: Bar | None = None

        def show(name: str, state: str, over: int, count: int) -> None:
            nonlocal bar
            bar = bar or Bar(count, "tasks")
            bar.set_postfix_str(f"{name} {state}")
            bar.reach(over)

        try:
            done = compare(self.plan, out=self.out, jobs=self.jobs, only=self.only, on_task=show)
        finally:
            if bar is not None:
                bar.close()
        print(f"{done.path}: {len(done.results) - done.failed - done.left} of {len(done.results)} cells have a number")
        print(f"look at {done.path / 'report.html'}")
        for line in done.results:
            if line["state"] == "failed":
                print(f"failed: {line['row']}/{line['shots']}/{line['seed']}: {line['error']}", file=sys.stderr)
        return 1 if done.failed else 0
