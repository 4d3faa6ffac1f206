"""Fashion-MNIST for the measurements of this folder: few-shot folders, and what a classifier sees in images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "ckpts" / "recipe"
GARMENTS = ROOT / "tests" / "fixtures" / "garments"
"""A model that was trained on Fashion-MNIST's training images."""


def recipe(name: str) -> ModuleType:
    """A module of the models' recipes."""
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


def gray(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """RGB images as uint8 [N, 32, 32]."""
    return np.stack([image.mean(axis=2).round().astype(np.uint8) for image in images])


def classifier() -> nn.Sequential:
    """A small plain CNN for 32x32 gray images: three convolutions and a linear layer."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 4 * 4, 10))


def train_classifier(images: np.ndarray, labels: np.ndarray, *, seed: int, steps: int) -> nn.Sequential:
    """Train on uint8 images [N, 32, 32] with shifts of up to two pixels; batch 128, AdamW, one cycle."""
    torch.manual_seed(seed)
    net = classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    targets = torch.from_numpy(labels).long()
    for _ in range(steps):
        rows = torch.randint(len(images), (128,))
        down, right = (int(shift) for shift in torch.randint(-2, 3, (2,)))
        batch = pixels(images[rows.numpy()]).roll((down, right), dims=(2, 3))
        loss = F.cross_entropy(net(batch), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def real_classifier(real: Any, work: Path) -> nn.Sequential:
    """The judge: trained on the real training images of the recipe's ``data.load``, kept in ``work``."""
    file = work / "judge.pt"
    if file.is_file():
        net = classifier()
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    net = train_classifier(real.train_images, real.train_labels, seed=0, steps=1600)
    torch.save(net.state_dict(), file)
    return net


def pixels(images: np.ndarray) -> Tensor:
    """Gray uint8 images [N, 32, 32] as the judge takes them."""
    return torch.from_numpy(images).float().div(127.5).sub(1)[:, None]


@torch.inference_mode()
def judge_logits(judge: nn.Module, images: np.ndarray) -> Tensor:
    """[N, classes] for gray images [N, 32, 32]."""
    return torch.cat([judge(pixels(images[start : start + 1000])) for start in range(0, len(images), 1000)])


@torch.inference_mode()
def features(judge: nn.Sequential, images: np.ndarray) -> Tensor:
    """The judge's last hidden layer for gray images [N, 32, 32], each row at length 1."""
    return F.normalize(judge[:-1](pixels(images)).double(), dim=1)


def recognised(judge: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images that the judge puts into their class, among all ten."""
    return float((judge_logits(judge, images).argmax(1).numpy() == labels).mean())


def diversity(judge: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance between two images of one class in the judge's unit-length features, mean over the classes."""
    values = []
    for label in np.unique(labels):
        rows = features(judge, images[labels == label])
        values.append(float(torch.pdist(rows).mean()))
    return float(np.mean(values))
