"""Networks that a classifier training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..metrics.classifier import classifier_folder, no_timm, preparation_of, pretrained
from ..metrics.cosine import see_directions
from ..metrics.preparation import Preparation
from .classifier_config import ClassifierTraining
from .losses import LDAM_SCALE

_LEGAL = "legal: resnet-32px, a folder of a transformers image classifier, or a hub id such as owner/name"


def small_resnet(num_classes: int) -> Any:
    """``resnet-32px``: a ResNet of three basic blocks with 32, 64 and 128 channels, 0.3 million weights.

    He et al. 2016 in transformers' form: a 7x7 convolution and a pooling bring 32 px to 8, and each later stage halves
    that. It is meant for images of about 32 px, for trainings from random weights, and for CPUs.

    Example:
        >>> sum(parameter.numel() for parameter in small_resnet(10).parameters()) // 1000
        312
    """
    from transformers import ResNetConfig, ResNetForImageClassification

    widths: list[int] = [32, 64, 128]
    options: Any = {"num_labels": num_classes}
    return ResNetForImageClassification(
        ResNetConfig(embedding_size=widths[0], hidden_sizes=widths, depths=[1, 1, 1], layer_type="basic", **options)
    )


def new_classifier(config: ClassifierTraining, classes: tuple[str, ...]) -> tuple[Any, Preparation]:
    """The network before its training, and what it reads.

    Args:
        config: settled; its seed fixes the random weights.
        classes: names, which the network's config keeps.

    Raises:
        InputError: there is no such network, or no linear layer in it that LDAM could have.
        MissingExtraError: it is one of timm's, and timm is not installed.
    """
    module, preparation = _ordinary(config, classes)
    if config.ldam_margin and not see_directions(module, LDAM_SCALE):
        raise InputError(f"{config.model} has no linear layer at its end, which ldam_margin needs; leave that out.")
    return module, preparation


def _ordinary(config: ClassifierTraining, classes: tuple[str, ...]) -> tuple[Any, Preparation]:
    side, resize = config.resolution or 224, config.resize or 224
    labels = {"id2label": dict(enumerate(classes)), "label2id": {name: place for place, name in enumerate(classes)}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.model == "resnet-32px":
            module = small_resnet(len(classes))
            module.config.id2label, module.config.label2id = labels["id2label"], labels["label2id"]
            half = (0.5, 0.5, 0.5)
            return module, Preparation(resolution=side, resize=resize, mean=half, std=half)
        if "/" not in config.model and not Path(config.model).is_dir():
            raise InputError(f"There is no image classifier {config.model!r}; {_LEGAL}.")
        folder = classifier_folder(config.model)
        if config.pretrained:
            module = pretrained(folder, **labels, ignore_mismatched_sizes=True)
        else:
            module = _untrained(folder, labels)
        theirs = preparation_of(folder)
        return module, Preparation(resolution=side, resize=resize, mean=theirs.mean, std=theirs.std)


def _untrained(source: Path, labels: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForImageClassification

    try:
        return AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(source, **labels))
    except ImportError as error:
        raise no_timm(source) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"There is no image classifier's config at {str(source)!r} ({str(error).partition(chr(10))[0][:200]}); "
            f"{_LEGAL}."
        ) from error
