"""Fashion-MNIST for the measurements of this folder: few-shot folders, and what a classifier sees in images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

RECIPE = Path(__file__).parents[2] / "ckpts" / "recipe"


def recipe(name: str) -> ModuleType:
    """A module of the demo model's recipe."""
    if str(RECIPE) not in sys.path:
        sys.path.append(str(RECIPE))
    return __import__(name)


def few_shot_folder(
    out: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str], shots: int, seed: int
) -> Path:
    """Write ``shots`` images of each named class as ``out/NAME/ROW.png``, drawn by ``seed``; kept where it is there.

    ``images``: uint8 [N, 32, 32]; ``labels``: ids of the recipe's class names.
    """
    classes = recipe("data").CLASSES
    for name in names:
        class_id = classes.index(name)
        # a class's images depend on nothing but the seed and the class; fewer shots are a part of more
        order = np.random.default_rng([seed, class_id]).permutation(np.flatnonzero(labels == class_id))
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for row in order[:shots]:
            Image.fromarray(images[row]).convert("RGB").save(folder / f"{row:05d}.png")
    return out


def gray(images: Sequence[np.ndarray]) -> np.ndarray:
    """RGB images as uint8 [N, 32, 32]."""
    return np.stack([image.mean(axis=2).round().astype(np.uint8) for image in images])


@torch.inference_mode()
def features(judge: nn.Sequential, images: np.ndarray) -> Tensor:
    """The judge's last hidden layer for gray images [N, 32, 32], each row at length 1."""
    pixels = torch.from_numpy(images).float().div(127.5).sub(1)[:, None]
    return F.normalize(judge[:-1](pixels).double(), dim=1)


@torch.inference_mode()
def recognised(judge: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images that the judge puts into their class, among all ten."""
    pixels = torch.from_numpy(images).float().div(127.5).sub(1)[:, None]
    return float((judge(pixels).argmax(1).numpy() == labels).mean())


def diversity(judge: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance between two images of one class in the judge's unit-length features, mean over the classes."""
    values = []
    for label in np.unique(labels):
        rows = features(judge, images[labels == label])
        values.append(float(torch.pdist(rows).mean()))
    return float(np.mean(values))
