"""What a model makes of its class prompts, and how far its mixed images deserve their labels: for any data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

from ncm_lib import ClassList, NoiseCutMix, RenderSettings
from ncm_lib.engine.load import Model
from ncm_lib.engine.render import Renderer
from ncm_lib.plan.planes import mask_planes
from ncm_lib.plan.sample import ClassWeight, Condition, FullMask, Noise, Sample


class Results:
    """Numbers by name, printed and kept in a file as they come."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}

    def add(self, name: str, value: float) -> None:
        """Note one."""
        self.values[name] = round(float(value), 4)
        self.file.write_text(json.dumps(self.values, indent=2) + "\n")
        print(f"{value:8.4f}  {name}", flush=True)


def class_images(
    model: Model, count: int, guidance: float, steps: int, work: Path, *, rows: int = 250
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` images of one class prompt each, the classes in turn, kept in ``work``.

    Guidance and the number of steps share the noise of an index, so that two such sets differ in one thing only.

    Args:
        model: with its classes.
        count: of images.
        guidance: 1 for none.
        steps: of the solver.
        work: folder of the finished images.
        rows: of a UNet call, with and without guidance, so that it compiles once.

    Returns:
        uint8 [N, h, w, 3] and the class ids [N].
    """
    file = work / f"class-{count}-g{guidance:g}-s{steps}.npz"
    names = classes_of(model).names
    labels = np.arange(count) % len(names)
    if file.is_file():
        return np.load(file)["images"], labels
    renderer = Renderer(model, RenderSettings(guidance_scale=guidance, num_inference_steps=steps))
    samples = [
        Sample(
            index=index, seed=index, conditions=(Condition(prompt=f"a photo of a {names[label]}"),),
            label=(ClassWeight(class_id=int(label), weight=1.0),), mask=FullMask(), start=Noise(),
        )
        for index, label in enumerate(labels)
    ]  # fmt: skip
    images: list[np.ndarray] = []
    for start in tqdm(range(0, count, batch := rows if guidance == 1 else rows // 2), desc=f"guidance {guidance:g}"):
        images += rendered(renderer, samples[start : start + batch])
    np.savez_compressed(file, images=np.stack(images))
    return np.stack(images), labels


def rendered(renderer: Renderer, samples: Sequence[Sample]) -> list[np.ndarray]:
    """Images of one batch; one that came out constant or broken is black and counts like any other."""
    side = renderer.settings.height, renderer.settings.width, 3
    found = renderer.images(renderer.latents(samples))
    return [np.zeros(side, np.uint8) if image is None else image for image in found]


def classes_of(model: Model) -> ClassList:
    """The model's classes."""
    if model.classes is None:
        raise SystemExit(f"{model.name} has no classes.json")
    return model.classes


def label_agreement(
    model: Model,
    logits: Callable[[Sequence[np.ndarray]], Tensor],
    real_images: np.ndarray,
    real_labels: np.ndarray,
    count: int,
) -> dict[str, float]:
    """Spearman correlation of ``weight_a`` and the judge's p(A) / (p(A) + p(B)), for NoiseCutMix and pixel CutMix.

    Both use the same pairs of classes and the same boxes; pixel CutMix pastes two held-out real images.

    Args:
        model: with its classes.
        logits: the judge's [N, classes] for RGB images [h, w, 3].
        real_images: held-out uint8 [M, h, w, 3] of the model's size.
        real_labels: class ids [M].
        count: how many images of each kind.
    """
    renderer = Renderer(model, RenderSettings())
    height, width = renderer.latent_size
    cell = model.family.latent_cell
    method = NoiseCutMix(classes=classes_of(model), placement="inside").resolved(
        seed=5, latent_height=height, latent_width=width, latent_cell=cell
    )
    plan = method.plan(0, count)
    mixed: list[np.ndarray] = []
    for start in tqdm(range(0, count, 100), desc="mixed"):
        mixed += rendered(renderer, [plan[row] for row in range(start, min(start + 100, count))])
    pick = np.random.default_rng(5)
    pasted = []
    for sample, (a, b) in zip(plan, plan.class_ids, strict=True):
        of_a, of_b = (real_images[pick.choice(np.flatnonzero(real_labels == label))] for label in (a, b))
        mask = np.kron(mask_planes(sample.mask, height, width)[0].numpy(), np.ones((cell, cell)))
        pasted.append(np.where(mask[..., None] > 0.5, of_a, of_b))
    scores = {}
    for name, images in (("NoiseCutMix", mixed), ("pixel CutMix of real images", pasted)):
        found = logits(images).double()
        rows = torch.arange(count)
        first, second = (torch.from_numpy(plan.class_ids[:, column]).long() for column in (0, 1))
        # p(A) / (p(A) + p(B)) = sigmoid(logit A - logit B): ranks without saturation
        difference = found[rows, first] - found[rows, second]
        probability = found.softmax(1)
        rank: Any = spearmanr(plan.weights[:, 0], difference)
        scores[f"label agreement of {name} (Spearman, {count} images)"] = float(rank.statistic)
        scores[f"mean p(A) + p(B) of {name}"] = float((probability[rows, first] + probability[rows, second]).mean())
    return scores
