"""The last layer of LDAM: cosines, trained, saved, and read by those who know of it and by those who do not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForImageClassification

from ncm_lib import ClassifierTraining, InputError, train_classifier
from ncm_lib.metrics.classifier import load_classifier
from ncm_lib.metrics.cosine import CosineLinear, see_directions
from ncm_lib.training import backbones
from ncm_lib.training.losses import LDAM_SCALE

CONFIG = ClassifierTraining(model="resnet-32px", resolution=16, epochs=3, batch_size=4, ldam_margin=0.5)


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("long-tail") / "birds", np.random.default_rng(0)
    for name, shade, count in (("robin", (170, 60, 50), 8), ("wren", (60, 60, 150), 3)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(shade, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(birds, tmp_path_factory):
    out = tmp_path_factory.mktemp("ldam") / "out"
    train_classifier(birds, out=out, config=CONFIG, device="cpu")
    return out


@pytest.fixture
def pixels():
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8))


def test_a_margin_brings_the_layer_and_without_it_the_layer_is_an_ordinary_one():
    with_margin, _ = backbones.new_classifier(CONFIG.settled(), ("robin", "wren"))
    assert isinstance(with_margin.classifier[1], CosineLinear)
    assert with_margin.classifier[1].scale == LDAM_SCALE
    plain, _ = backbones.new_classifier(CONFIG.model_copy(update={"ldam_margin": 0.0}).settled(), ("robin", "wren"))
    assert type(plain.classifier[1]) is nn.Linear
    assert torch.equal(with_margin.classifier[1].weight, plain.classifier[1].weight)


def test_its_logits_are_cosines_and_its_bias_stays_zero(trained, pixels):
    judge = load_classifier(trained, device="cpu")
    features = judge.features(iter(pixels.numpy()))
    state = load_file(trained / "model" / "model.safetensors")
    weight = state["classifier.1.weight"].numpy()
    assert np.linalg.norm(weight, axis=1) == pytest.approx(np.ones(2), abs=1e-6)
    assert state["classifier.1.bias"].tolist() == [0.0, 0.0]
    cosines = features @ weight.T / np.linalg.norm(features, axis=1, keepdims=True)
    assert judge.logits(pixels).numpy() == pytest.approx(LDAM_SCALE * cosines, rel=1e-4, abs=1e-4)


def test_transformers_alone_ranks_the_classes_in_the_same_order(trained, pixels):
    judge = load_classifier(trained, device="cpu")
    stock = AutoModelForImageClassification.from_pretrained(trained / "model").eval()
    with torch.inference_mode():
        theirs = stock(pixel_values=judge.preparation.normalised(pixels)).logits
    assert torch.equal(theirs.argsort(dim=1), judge.logits(pixels).argsort(dim=1))


def test_saving_changes_no_logit(pixels, tmp_path):
    from ncm_lib.metrics.classifier import Classifier, save_classifier

    module, preparation = backbones.new_classifier(CONFIG.settled(), ("robin", "wren"))
    judge = Classifier(name="x", module=module.eval(), classes=("robin", "wren"), preparation=preparation)
    before = judge.logits(pixels)
    save_classifier(tmp_path / "model", module, judge.classes, preparation)
    assert json.loads((tmp_path / "model" / "classifier.json").read_text())["cosine_scale"] == LDAM_SCALE
    assert torch.allclose(load_classifier(tmp_path / "model", device="cpu").logits(pixels), before, atol=1e-4)


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(birds, trained, tmp_path):
    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    config = CONFIG.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(KeyboardInterrupt):
        train_classifier(birds, out=tmp_path / "out", config=config, device="cpu", on_progress=stop)
    train_classifier(birds, out=tmp_path / "out", config=config, device="cpu")
    files = [folder / "model" / "model.safetensors" for folder in (trained, tmp_path / "out")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_network_without_a_linear_layer_is_refused(monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    assert not see_directions(network, 30.0)
    monkeypatch.setattr(backbones, "_ordinary", lambda *_: (network, None))
    with pytest.raises(InputError, match="resnet-32px has no linear layer at its end, which ldam_margin needs"):
        backbones.new_classifier(CONFIG.settled(), ("robin", "wren"))
