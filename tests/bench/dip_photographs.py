"""Write the photographs of the deep image prior's study, reduced to one size.

They come with scikit-image and scikit-learn, which the library does not need: run this in an environment that has both.

    python tests/bench/dip_photographs.py --out photographs --side 64
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

# Name: licence as its package states it, where it comes from
LICENCES = {
    "astronaut": "public domain, NASA (scikit-image)",
    "camera": "CC0, Lav Varshney (scikit-image)",
    "chelsea": "CC0, Stefan van der Walt (scikit-image)",
    "china": "CC BY 2.0, danielbuechele (scikit-learn)",
    "coffee": "CC0, Rachel Michetti (scikit-image)",
    "flower": "CC BY 2.0, vultilion (scikit-learn)",
    "gravel": "CC0, CC0Textures (scikit-image)",
    "hubble_deep_field": "public domain, NASA (scikit-image)",
    "rocket": "public domain, SpaceX (scikit-image)",
}


def photograph(name: str) -> Image.Image:
    """The photograph as its package has it."""
    if name in ("china", "flower"):
        return Image.fromarray(sklearn.datasets.load_sample_image(f"{name}.jpg"))
    return Image.fromarray(np.asarray(getattr(skimage.data, name)()))


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """The largest square in the middle, averaged down."""
    across = min(picture.size)
    left, top = (picture.width - across) // 2, (picture.height - across) // 2
    return picture.resize((side, side), Image.Resampling.BOX, box=(left, top, left + across, top + across))


def main() -> None:
    """Write them all, and a list of the licences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, licence in LICENCES.items():
        picture = reduced(photograph(name), options.side)
        picture.save(options.out / f"{name}.png")
        print(f"{name}: {picture.mode}, mean {np.asarray(picture).mean() / 255:.2f}, {licence}")


if __name__ == "__main__":
    main()
