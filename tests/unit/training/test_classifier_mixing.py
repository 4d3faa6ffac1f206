"""Mixing in pixels, beside kornia's operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncm_lib.maths.masks import Box
from ncm_lib.training.mixing import Mix, draw_mix


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images, partners = torch.rand(2, 4, 3, 8, 8, generator=generator)
    labels = torch.softmax(torch.rand(2, 4, 3, generator=generator), dim=2)
    return images, labels[0], partners, labels[1]


def test_cutmix_takes_the_box_of_the_partner_and_its_share_of_the_label(batch):
    images, labels, partners, partner_labels = batch
    mixed, mixed_labels = Mix(share=0.0, box=Box(2, 1, 6, 4), grid=8).apply(*batch)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[1:4, 2:6] = True
    assert torch.equal(mixed[..., inside], partners[..., inside])
    assert torch.equal(mixed[..., ~inside], images[..., ~inside])
    assert torch.allclose(mixed_labels, labels * 52 / 64 + partner_labels * 12 / 64)
    assert torch.allclose(mixed_labels.sum(1), torch.ones(4))


def test_an_image_that_is_its_own_partner_stays_as_it_is(batch):
    images, labels, *_ = batch
    for mix in (Mix(share=0.0, box=Box(0, 0, 8, 8), grid=8), Mix(share=0.4)):
        mixed, mixed_labels = mix.apply(images, labels, images, labels)
        assert torch.equal(mixed, images)
        assert torch.equal(mixed_labels, labels)


def test_boxes_are_cut_off_at_the_border_and_the_label_follows():
    mix = draw_mix("cutmix", 1, 32, np.array([0.75, 0.0, 0.99]))
    assert mix.box == Box(0, 23, 8, 32)
    labels = torch.eye(2)
    _, mixed = mix.apply(torch.zeros(2, 3, 32, 32), labels, torch.ones(2, 3, 32, 32), labels.flip(0))
    assert mixed[0, 1].item() == pytest.approx(8 * 9 / 1024)


@pytest.mark.parametrize(("alpha", "spread"), [(1.0, 1 / 12), (0.2, 0.25 / 1.4)])
def test_lambda_follows_the_beta_distribution(alpha, spread):
    draws = np.random.default_rng(0).random((4000, 3))
    shares = np.array([draw_mix("mixup", alpha, 8, row).share for row in draws])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(spread, rel=0.05)


def test_pasting_and_blending_agree_with_kornia(batch):
    augmentation = pytest.importorskip("kornia.augmentation")
    images, labels, *_ = batch
    order = torch.tensor([2, 0, 3, 1])
    ids = torch.arange(4.0)
    common = {"batch_prob": torch.ones(4), "forward_input_shape": torch.tensor(images.shape)}
    common["dtype"] = torch.tensor(6)  # float32 in kornia's numbering

    mixup = augmentation.RandomMixUpV2(data_keys=["input", "class"])
    params = common | {"mixup_pairs": order, "mixup_lambdas": torch.full((4,), 0.3)}
    theirs, pairs = mixup(images, ids, params=params)
    ours, our_labels = Mix(share=0.3).apply(images, labels, images[order], labels[order])
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.allclose(our_labels, _label(pairs, labels, partner_share=pairs[:, 2:]), atol=1e-6)

    cutmix = augmentation.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    corners = torch.tensor([[2.0, 1.0], [5.0, 1.0], [5.0, 3.0], [2.0, 3.0]]).expand(1, 4, 4, 2)
    params = common | {"mix_pairs": order[None], "crop_src": corners, "image_shape": torch.tensor([8.0, 8.0])}
    theirs, (pairs,) = cutmix(images, ids, params=params)
    ours, our_labels = Mix(share=0.0, box=Box(2, 1, 6, 4), grid=8).apply(images, labels, images[order], labels[order])
    assert torch.equal(ours, theirs)
    assert torch.allclose(our_labels, _label(pairs, labels, partner_share=1 - pairs[:, 2:]), atol=1e-6)


def _label(pairs: torch.Tensor, labels: torch.Tensor, *, partner_share: torch.Tensor) -> torch.Tensor:
    own, partner = pairs[:, 0].long(), pairs[:, 1].long()
    return labels[own] * (1 - partner_share) + labels[partner] * partner_share
