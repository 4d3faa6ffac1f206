"""An image classifier with its classes and what it reads: loading, probabilities, features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..engine.fingerprint import fingerprint
from ..engine.hub import folder_of
from ..errors import InputError, MissingExtraError, how_to_install
from ..typing import Float32, Float64, UInt8
from .cosine import last_linear, see_directions, unit_weights
from .preparation import IMAGENET_MEAN, IMAGENET_STD, Preparation

HEAD = "classifier.json"
BATCH = 128
_LEGAL = (
    "legal: a folder that `ncm train-classifier` wrote, a folder of a transformers image classifier (config.json, "
    "model.safetensors; pickled weights are not read), or a hub id such as owner/name"
)


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A network that tells classes apart."""

    name: str
    module: nn.Module
    """A transformers model for image classification, in evaluation mode."""
    classes: tuple[str, ...]
    """Names; the module's output c is ``classes[c]``."""
    preparation: Preparation

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.module.parameters()).device

    @torch.inference_mode()
    def logits(self, pixels: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n classes"]:
        """The module's output for pictures that are cropped to its size."""
        return logits_of(self.module, self.preparation.normalised(pixels.to(self.device))).float().cpu()

    def probabilities(self, pictures: Iterator[UInt8[np.ndarray, "3 h w"]]) -> Float64[np.ndarray, "n classes"]:
        """Softmax of the logits, for pictures that are cropped."""
        parts = [torch.softmax(self.logits(batch).double(), dim=1) for batch in batches(pictures)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, len(self.classes)))

    @torch.inference_mode()
    def features(self, pictures: Iterator[UInt8[np.ndarray, "3 h w"]]) -> Float32[np.ndarray, "n width"]:
        """What the last linear layer reads, for pictures that are cropped."""
        parts: list[Tensor] = []
        with _listening(self) as heard:
            for batch in batches(pictures):
                self.logits(batch)
                parts.append(heard.pop().flatten(1).float().cpu())
        return torch.cat(parts).numpy() if parts else np.zeros((0, 1), dtype=np.float32)


def logits_of(module: nn.Module, pixels: Float32[Tensor, "n 3 h w"]) -> Tensor:
    """The logits of a transformers classifier."""
    return module(pixel_values=pixels).logits


def batches(pictures: Iterator[UInt8[np.ndarray, "3 h w"]], size: int = BATCH) -> Iterator[UInt8[Tensor, "n 3 h w"]]:
    """Equally large pictures, stacked."""
    waiting: list[np.ndarray[Any, np.dtype[Any]]] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            yield torch.from_numpy(np.stack(waiting))
            waiting = []
    if waiting:
        yield torch.from_numpy(np.stack(waiting))


def load_classifier(source: str | Path, *, device: str | None = None) -> Classifier:
    """Load a classifier.

    Args:
        source: a folder that ``ncm train-classifier`` wrote (or its ``model`` folder), any folder of a transformers
            image classifier, or a hub id. Weights must be safetensors.
        device: "cpu", "cuda"...; None takes the best one there is.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        InputError: there is none, or it is damaged.
        MissingExtraError: it is one of timm's, and timm is not installed.
    """
    path = Path(source)
    folder = classifier_folder(path / "model" if (path / "model" / HEAD).is_file() else source)
    module = pretrained(folder)
    if (folder / HEAD).is_file():
        classes, preparation, scale = _head(folder / HEAD)
        if scale is not None:
            see_directions(module, scale)
    else:
        labels = module.config.id2label
        classes = tuple(str(labels[place]) for place in sorted(labels))
        preparation = preparation_of(folder)
    module.eval().to(device_of(device))
    return Classifier(name=str(source), module=module, classes=classes, preparation=preparation)


def save_classifier(folder: Path, module: Any, classes: tuple[str, ...], preparation: Preparation) -> None:
    """Write a classifier in transformers' layout, with ``classifier.json`` and ``preprocessor_config.json`` beside.

    A last layer of cosines is noted in ``classifier.json``; whoever does not know of it still ranks the classes alike.
    """
    scale = unit_weights(module)
    with no_bars():
        module.save_pretrained(folder)
    own = {
        "format": "ncm-classifier-1",
        "classes": list(classes),
        "resolution": preparation.resolution,
        "resize": preparation.resize,
        "mean": list(preparation.mean),
        "std": list(preparation.std),
    } | ({} if scale is None else {"cosine_scale": scale})
    # the class of transformers that resizes the shorter side and cuts out the centre
    theirs = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": preparation.resize},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": preparation.resolution, "width": preparation.resolution},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preparation.mean),
        "image_std": list(preparation.std),
    }
    for name, content in ((HEAD, own), ("preprocessor_config.json", theirs)):
        (folder / name).write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


def classifier_folder(source: str | Path) -> Path:
    """The folder of a transformers image classifier; one of the hub's is downloaded, or found where it lies already.

    Raises:
        InputError: there is none.
    """
    return folder_of(source, ["*.json", "*.safetensors"], what="image classifier", legal=_LEGAL)


def pretrained(source: str | Path, **options: Any) -> Any:
    """A transformers image classifier.

    Args:
        source: its folder.
        options: of ``from_pretrained``, such as ``num_labels``.

    Raises:
        InputError: there is none in it, or it cannot be read.
        MissingExtraError: timm is needed and not installed.
    """
    from transformers import AutoModelForImageClassification

    try:
        with no_bars():
            return AutoModelForImageClassification.from_pretrained(source, use_safetensors=True, **options)
    except ImportError as error:
        raise no_timm(source) from error
    except Exception as error:  # transformers and safetensors raise many kinds; each means the same here
        raise InputError(
            f"There is no image classifier at {str(source)!r} ({_first_line(error)}); {_LEGAL}."
        ) from error


def no_timm(source: str | Path) -> MissingExtraError:
    """The error for classifiers of timm where timm is missing."""
    return MissingExtraError(
        f"The classifier {str(source)!r} is one of timm's, and timm is not installed. {how_to_install('timm')}"
    )


def preparation_of(source: str | Path) -> Preparation:
    """Size and normalisation as ``preprocessor_config.json`` says it; 224 px and ImageNet's colours without one."""
    try:
        fields: dict[str, Any] = json.loads((Path(source) / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fields = {}
    side = _side(fields.get("size"), 224)
    resolution = _side(fields.get("crop_size"), side) if fields.get("do_center_crop") else side
    mean, std = fields.get("image_mean") or IMAGENET_MEAN, fields.get("image_std") or IMAGENET_STD
    return Preparation(resolution=resolution, resize=max(side, resolution), mean=_colours(mean), std=_colours(std))


def classifier_fingerprint(source: str | Path) -> str:
    """Which classifier a folder holds, without loading it; the name where it is a hub id."""
    path = Path(source)
    folder = path / "model" if (path / "model" / HEAD).is_file() else path
    return fingerprint(folder) if folder.is_dir() else str(source)


def device_of(name: str | None) -> torch.device:
    """The device of a name; the best one there is where it is None.

    Raises:
        InputError: it is not to be had.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name is None:
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not {"cpu": True, "cuda": cuda, "mps": mps}.get(device.type, False):
        there = ", ".join(["cpu", *(["cuda"] if cuda else []), *(["mps"] if mps else [])])
        raise InputError(f"The device {name!r} is not to be had here; there is {there}.")
    return device


def _head(file: Path) -> tuple[tuple[str, ...], Preparation, float | None]:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        preparation = Preparation(
            resolution=fields["resolution"],
            resize=fields["resize"],
            mean=_colours(fields["mean"]),
            std=_colours(fields["std"]),
        )
        scale = fields.get("cosine_scale")
        return tuple(fields["classes"]), preparation, None if scale is None else float(scale)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} is not the head of a classifier ({_first_line(error)}). Train it again, or take the file out: "
            "then the names and sizes of config.json and preprocessor_config.json count."
        ) from error


def _side(value: Any, otherwise: int) -> int:
    if isinstance(value, dict):
        value = value.get("shortest_edge") or value.get("height")
    return value if isinstance(value, int) and value > 0 else otherwise


def _colours(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


@contextmanager
def no_bars() -> Iterator[None]:
    """Small files need no progress bar."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _listening(classifier: Classifier) -> Iterator[list[Tensor]]:
    """Keep what the last linear layer is given."""
    layer = last_linear(classifier.module)
    if layer is None:
        raise InputError(f"The classifier {classifier.name} has no linear layer, so it has no features to compare by.")
    heard: list[Tensor] = []
    handle = layer[1].register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    try:
        yield heard
    finally:
        handle.remove()
