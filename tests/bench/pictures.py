r"""Draw the pictures of the help pages, of three templates and of docs/methods.md anew, from the embedded model.

    git clone https://github.com/marcusklasson/GroceryStoreDataset
    python tests/bench/pictures.py --data GroceryStoreDataset

The photographs that are inverted come from the data set's test part, which the model has not seen; two of them are kept
as ``ckpts/demo/images``. The pictures of running graphs are taken by the tests themselves:

    NCM_SCREENSHOTS=docs python -m pytest tests/comfyui/test_browser_demo.py tests/comfyui/test_workflows.py
"""

from __future__ import annotations

import argparse
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fashion import recipe
from pictures_page import bordered, captioned, column, enlarged, fitted, ring, row, titled
from PIL import Image

from ncm_lib import ClassList, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.inversion import invert_latents, reconstruct_latents
from ncm_lib.engine.render import Renderer
from ncm_lib.maths.masks import Box
from ncm_lib.plan.planes import mask_planes
from ncm_lib.plan.sample import BoxMask, CirclePoint, ClassWeight, Condition, FullMask, Mask, Noise, Sample
from ncm_lib.store.tiles import COLOURS, tile

ROOT = Path(__file__).resolve().parents[2]
HELP = ROOT / "nodes" / "web" / "docs" / "img"
GRID = 16
"""Latent cells along a side of the embedded model's images."""
ANGLES = 8
SHOWN = (
    "banana", "lemon", "Granny Smith apple", "kiwi", "orange", "watermelon",
    "red bell pepper", "aubergine", "carrot", "pineapple", "leek", "vine tomato",
)  # fmt: skip
MIXED = (("lemon", "lime"), ("red bell pepper", "yellow bell pepper"))
PAIRS = (("banana", "aubergine"), ("orange", "kiwi"), ("carrot", "leek"), ("lemon", "plum"))
CIRCLES = {"banana": (13, 40), "watermelon": (3, 10), "red bell pepper": (0, 10), "Granny Smith apple": (4, 44)}
"""Classes of docs/circle.png, and two of their test photographs; the first class's are shipped."""
STAGES = ("lemon", "lime")


class Studio:
    """The embedded model, and what it makes of prompts."""

    def __init__(self) -> None:
        self.model = load_model("demo", device="cpu")

    def made(self, samples: Sequence[Sample], *, scheduler: str | None = None, points: dict | None = None) -> list:
        """One picture per sample, 25 steps, the model's own guidance."""
        settings = RenderSettings(scheduler=scheduler) if scheduler else RenderSettings()
        renderer = Renderer(self.model, settings, inversion=None if points is None else points.__getitem__)
        return [Image.fromarray(image) for image in renderer.images(renderer.latents(samples))]

    def of_class(self, names: Sequence[str], seed: int) -> list[Image.Image]:
        """A picture of each."""
        return self.made([sample(seed + number, (name,)) for number, name in enumerate(names)])

    def inverted(self, photographs: np.ndarray, name: str, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The photographs' noise and what comes back from it without guidance, both latents."""
        pixels = torch.from_numpy(photographs).permute(0, 3, 1, 2).float() / 255
        latents = self.model.family.encode_images(pixels)
        words = torch.stack([*self.model.family.encode([f"a photo of a {name}"])] * len(photographs))
        noise = invert_latents(self.model.family, latents, words, num_inference_steps=steps)
        return noise, reconstruct_latents(self.model.family, noise, words, num_inference_steps=steps)

    def decoded(self, latents: torch.Tensor) -> list[Image.Image]:
        """Latents as pictures."""
        found = Renderer(self.model, RenderSettings()).images(latents)
        return [Image.fromarray(image) for image in found]


def sample(seed: int, names: Sequence[str], mask: Mask | None = None, **changes: object) -> Sample:
    """One or two classes from noise; with two, the first has the mask's ones."""
    conditions = tuple(Condition(prompt=f"a photo of a {name}") for name in names)
    label = (ClassWeight(class_id=0, weight=1.0),)
    fields = {"index": 0, "seed": seed, "conditions": conditions, "label": label, "mask": mask or FullMask()}
    return Sample(**(fields | {"start": Noise()} | changes))


def box(x0: int, y0: int, x1: int, y1: int) -> BoxMask:
    """The second class's box."""
    return BoxMask(box=Box(x0, y0, x1, y1), grid_height=GRID, grid_width=GRID)


def classes(studio: Studio) -> Image.Image:
    """Load Demo Model: a picture of each of twelve classes."""
    pictures = [captioned(enlarged(one, 1.5), name) for name, one in zip(SHOWN, studio.of_class(SHOWN, 3), strict=True)]
    return column([row(pictures[start : start + 4]) for start in range(0, len(pictures), 4)])


def mixing(studio: Studio) -> Image.Image:
    """Dual-Prompt Mixed Sampler: one noise under six masks."""
    boxes = [box(0, 0, 0, 0), box(0, 11, 16, 16), box(0, 8, 16, 16), box(0, 4, 16, 16), box(0, 0, 16, 16),
             box(0, 0, 8, 16)]  # fmt: skip
    planes = [mask_planes(one, GRID, GRID)[0].numpy() for one in boxes]
    masks = [bordered(enlarged(Image.fromarray(np.uint8(255 * plane)), 4, sharp=True)) for plane in planes]
    lines = [titled("mask: white is class A", row([
        captioned(picture, f"A {plane.mean():.0%}") for picture, plane in zip(masks, planes, strict=True)
    ]))]  # fmt: skip
    for number, names in enumerate(MIXED):
        pictures = studio.made([sample(5 + number, names, mask) for mask in boxes])
        lines.append(titled(f"A: {names[0]}, B: {names[1]}", row(pictures)))
    return column(lines)


def labels(studio: Studio) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Plan Sample, Soft Label, Soft Label Writer: masks in their classes' colours, labels, and what is made of them."""
    boxes = [box(2, 4, 13, 15), box(9, 2, 16, 12), box(3, 5, 11, 13), box(1, 6, 16, 16)]
    planes = [mask_planes(one, GRID, GRID)[0].numpy() for one in boxes]
    pictures = studio.made([
        sample(11 + number, names, mask) for number, (names, mask) in enumerate(zip(PAIRS, boxes, strict=True))
    ])  # fmt: skip
    shares = [[(a, plane.mean()), (b, 1 - plane.mean())] for (a, b), plane in zip(PAIRS, planes, strict=True)]
    coloured = [tile(painted(plane), None, share) for plane, share in zip(planes, shares, strict=True)]
    written = [tile(one, plane, share) for one, plane, share in zip(pictures, planes, shares, strict=True)]
    planned = column([row(coloured[:2]), row([enlarged(one, 3, sharp=True) for one in pictures[:2]])])
    return planned, row(coloured[2:]), column([row(written[:2]), row(written[2:])])


def painted(plane: np.ndarray) -> Image.Image:
    """A mask in the colours of its classes."""
    a, b = (np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) for colour in COLOURS[:2])
    return Image.fromarray(np.uint8(np.where(plane[..., None] > 0.5, a, b))).resize(
        (192, 192), Image.Resampling.NEAREST
    )


def inversion(studio: Studio, photograph: np.ndarray, name: str) -> Image.Image:
    """DDIM Inversion: a photograph, its noise, and what comes back."""
    cells = [captioned(Image.fromarray(photograph), "photograph")]
    for steps in (10, 25, 50, 100):
        noise, back = studio.inverted(photograph[None], name, steps)
        if steps == 10:
            three = ((noise[0, :3].permute(1, 2, 0) / 6 + 0.5).clamp(0, 1) * 255).byte().numpy()
            cells.append(captioned(enlarged(Image.fromarray(three), 4, sharp=True), "its noise"))
        cells += [captioned(one, f"{steps} steps") for one in studio.decoded(back)]
    return row(cells)


def circle(studio: Studio, photographs: np.ndarray, name: str) -> list[Image.Image]:
    """What is made of eight points of the circle through the inversions of two photographs."""
    noise, _ = studio.inverted(photographs, name, 100)
    points = {"a": noise[0], "b": noise[1]}
    samples = [
        sample(0, (name,), start=CirclePoint(source_a="a", source_b="b", u=turn / ANGLES, arc="circle"))
        for turn in range(ANGLES)
    ]
    return studio.made(samples, scheduler="ddim", points=points)


def stages(studio: Studio) -> Image.Image:
    """Two-Stage Conditioning: more and more of the first steps see another prompt."""
    early, late = STAGES
    shares = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
    lines = []
    for seed in range(3):
        samples = [
            sample(seed, (late,), conditions=(Condition(
                prompt=f"a photo of a {late}", early_prompt=f"a photo of a {early}", early_fraction=share
            ),)) for share in shares
        ]  # fmt: skip
        pictures = [studio.made([one], scheduler="ddim")[0] for one in samples]
        lines.append(row([captioned(one, f"{share:g}", above=True) if not seed else one
                          for one, share in zip(pictures, shares, strict=True)]))  # fmt: skip
    return column(lines)


def planned(studio: Studio) -> Image.Image:
    """The template ``dataset_loop``: what its plan makes."""
    names = ClassList.of(list(SHOWN))
    method = NoiseCutMix(classes=names).resolved(seed=0, latent_height=GRID, latent_width=GRID, latent_cell=4)
    samples = [method.plan_one(index) for index in range(20)]
    tiles = [
        tile(picture, mask_planes(one.mask, GRID, GRID)[0].numpy(), [(names.names[part.class_id], part.weight)
                                                                    for part in one.label])
        for one, picture in zip(samples, studio.made(samples), strict=True)
    ]  # fmt: skip
    return fitted(column([row(tiles[start : start + 5]) for start in range(0, 20, 5)]), 512)


def photographs(data: Path, name: str, chosen: tuple[int, int], size: int) -> np.ndarray:
    """Two test photographs of a class, by their numbers, reduced."""
    listed = recipe("photographs").load(data, "test")
    (rows,) = np.nonzero(listed.labels == listed.names.index(name))
    files = tuple(listed.files[rows[number]] for number in chosen)
    pair = dataclasses.replace(listed, files=files, labels=listed.labels[rows[list(chosen)]])
    return recipe("photographs").whole(pair, size)


def keep(picture: Image.Image, file: Path, *, exact: bool = False) -> None:
    """Write it where it belongs; a page's PNG has 128 colours, and is a quarter as large."""
    buffer = io.BytesIO()
    if file.suffix == ".jpg":
        picture.save(buffer, "JPEG", quality=60, optimize=True)
    else:
        (picture if exact else picture.quantize(128, dither=Image.Dither.NONE)).save(buffer, "PNG", optimize=True)
    file.write_bytes(buffer.getvalue())
    print(f"{len(buffer.getvalue()) / 1000:6.1f} kB  {file.relative_to(ROOT)}", flush=True)


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the repository of the Grocery Store Dataset")
    options = parser.parse_args()
    studio = Studio()
    keep(classes(studio), HELP / "load_demo_model.png")
    keep(mixing(studio), HELP / "dual_prompt_mixed_sampler.png")
    for picture, name in zip(labels(studio), ("plan_sample", "soft_label", "soft_label_writer"), strict=True):
        keep(picture, HELP / f"{name}.png")
    keep(stages(studio), HELP / "two_stage.png")
    keep(planned(studio), ROOT / "workflows" / "dataset_loop.jpg")
    size = studio.model.family.default_size
    pairs = {name: photographs(options.data, name, chosen, size) for name, chosen in CIRCLES.items()}
    first = next(iter(CIRCLES))
    for number, photograph in enumerate(pairs[first], start=1):
        file = ROOT / "ckpts" / "demo" / "images" / f"{first.replace(' ', '_')}_{number}.png"
        keep(Image.fromarray(photograph), file, exact=True)
    keep(inversion(studio, pairs[first][0], first), HELP / "ddim_inversion.png")
    made = {name: circle(studio, pair, name) for name, pair in pairs.items()}
    round_trip = ring([f"{360 * turn // ANGLES}°" for turn in range(ANGLES)], made[first],
                      [Image.fromarray(one) for one in pairs[first]])  # fmt: skip
    keep(round_trip, HELP / "circle_interpolation.png")
    keep(fitted(round_trip, 520), ROOT / "workflows" / "diff_ii.jpg")
    lines = [row([Image.fromarray(one) for one in pairs[name]] + made[name]) for name in CIRCLES]
    keep(column(lines), ROOT / "docs" / "circle.png")


if __name__ == "__main__":
    main()
