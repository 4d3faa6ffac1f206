"""Losses, class weights, margins, learning rates."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ncm_lib import InputError
from ncm_lib.metrics.cosine import CosineLinear
from ncm_lib.training.classifier_config import ClassifierTraining
from ncm_lib.training.learning_rate import learning_rate
from ncm_lib.training.losses import LDAM_SCALE, class_balanced_weights, ldam_margins, soft_cross_entropy

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.3, 0.5]])


def test_soft_labels_are_the_mean_of_hard_ones():
    hard = torch.stack([F.cross_entropy(LOGITS, torch.full((2,), c), reduction="none") for c in range(3)], dim=1)
    assert torch.allclose(soft_cross_entropy(LOGITS, SOFT), (hard * SOFT).sum(dim=1))


def test_margins_of_zero_change_nothing():
    weights = torch.tensor([0.5, 1.0, 1.5])
    for smoothing in (0.0, 0.1):
        plain = soft_cross_entropy(LOGITS, SOFT, smoothing=smoothing, weights=weights)
        zero = soft_cross_entropy(LOGITS, SOFT, smoothing=smoothing, weights=weights, margins=torch.zeros(3))
        assert torch.allclose(plain, zero)


def test_a_margin_is_taken_from_the_labelled_class_alone():
    margins = torch.tensor([0.5, 0.2, 0.1])
    found = soft_cross_entropy(LOGITS, F.one_hot(torch.tensor([0, 2]), 3).float(), margins=margins)
    lowered = LOGITS - torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.1]])
    assert torch.allclose(found, F.cross_entropy(lowered, torch.tensor([0, 2]), reduction="none"))


def test_ldam_is_the_published_loss_of_scaled_cosines():
    # s * (cos - the labelled class's margin) into the cross entropy, as the authors' code has it
    generator = torch.Generator().manual_seed(0)
    features, weights = torch.randn(5, 7, generator=generator), torch.randn(3, 7, generator=generator)
    labels, margins = torch.tensor([0, 1, 2, 1, 0]), torch.tensor([0.5, 0.3, 0.1])
    cosines = F.cosine_similarity(features[:, None], weights[None], dim=2)
    hard = F.one_hot(labels, 3).float()
    expected = F.cross_entropy(30 * (cosines - hard * margins), labels, reduction="none")
    layer = CosineLinear(7, 3, scale=LDAM_SCALE)
    with torch.no_grad():
        layer.weight.copy_(weights)
    found = soft_cross_entropy(layer(features), hard, margins=LDAM_SCALE * margins)
    assert torch.allclose(found, expected, rtol=1e-5)


def test_class_balanced_weights_follow_the_effective_number():
    counts = torch.tensor([100.0, 1.0, 0.0], dtype=torch.float64)
    weights = class_balanced_weights(counts, 0.99)
    assert (weights[1] / weights[0]).item() == pytest.approx((1 - 0.99**100) / (1 - 0.99))
    assert weights[2] == 0
    assert weights[:2].mean().item() == pytest.approx(1.0)
    assert class_balanced_weights(counts, 0.0)[:2].tolist() == [1.0, 1.0]


def test_the_rarest_class_has_the_largest_margin():
    margins = ldam_margins(torch.tensor([16.0, 1.0, 0.0], dtype=torch.float64), 0.5)
    assert margins.tolist() == pytest.approx([0.25, 0.5, 0.5])


def test_the_learning_rate_rises_and_falls_along_half_a_cosine():
    config = ClassifierTraining(learning_rate=0.1, schedule="cosine", warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[9] == rates[10] == 0.1
    assert rates[55] == pytest.approx(0.05)
    assert 0 < rates[99] < 1e-4


def test_the_protocols_are_the_papers():
    first, second = (ClassifierTraining.of(name).settled() for name in ("noisecutmix", "diff-ii"))
    assert (first.optimizer, first.learning_rate, first.batch_size, first.epochs) == ("adam", 1e-3, 64, 100)
    assert (first.resolution, first.validation, first.use) == (224, 0.2, "add")
    assert (second.optimizer, second.momentum, second.weight_decay) == ("sgd", 0.9, 5e-4)
    assert (second.schedule, second.warmup, second.label_smoothing) == ("cosine", 0.1, 0.1)
    assert (second.use, second.replace_probability, second.replace_by) == ("replace", 0.5, "class")
    assert (second.resize, second.resolution, second.batch_size) == (256, 224, 256)


@pytest.mark.parametrize(
    ("protocol", "fields", "text"),
    [
        ("noisecutmixx", {}, "There is no protocol 'noisecutmixx'; there are noisecutmix, diff-ii."),
        ("diff-ii", {"epochs": 0}, "epochs is 0; it takes 1 or more."),
        ("diff-ii", {"resize": 100, "resolution": 200}, "cannot be larger than the shorter side"),
        ("noisecutmix", {"optimiser": "sgd"}, "there is no option 'optimiser'; did you mean 'optimizer'"),
    ],
)
def test_what_is_not_legal_is_one_message(protocol, fields, text):
    with pytest.raises(InputError, match=text.replace("(", r"\(")) as error:
        ClassifierTraining.of(protocol, **fields)
    assert "\n" not in str(error.value)


def test_mixup_has_an_alpha_of_its_own():
    assert ClassifierTraining(pixel="mixup").settled().pixel_alpha == 0.2
    assert ClassifierTraining(pixel="cutmix").settled().pixel_alpha == 1.0
    assert ClassifierTraining(pixel="mixup", pixel_alpha=0.7).settled().pixel_alpha == 0.7
