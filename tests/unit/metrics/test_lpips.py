"""LPIPS against an independent implementation, on tiny random weights of the published layouts."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as theirs

from ncm_lib import InputError
from ncm_lib.metrics.lpips import Lpips, load_lpips
from ncm_lib.metrics.lpips_diversity import lpips_diversity, pairs_within
from ncm_lib.metrics.lpips_weights import read_lpips_weights

from ...tiny_lpips import jax_tree, random_weights, save_jax, whole_state


@pytest.fixture
def files(tmp_path):
    """Both networks, each as the user may have it."""
    found = {}
    for kind in ("alex", "vgg"):
        network, heads = random_weights(kind)
        save_jax(tmp_path / f"{kind}.ckpt", jax_tree(network, heads, kind))
        torch.save(whole_state(network, heads, kind), tmp_path / f"{kind}-whole.pth")
        features = {f"features.{name}": value for name, value in network.state_dict().items()}
        classifier = {"classifier.1.weight": torch.zeros(2, 2)}
        torch.save(features | classifier, tmp_path / f"{kind}-torchvision.pth", _use_new_zipfile_serialization=False)
        torch.save(heads, tmp_path / f"{kind}-heads.pth", _use_new_zipfile_serialization=False)
        found[kind] = {
            "jax": [tmp_path / f"{kind}.ckpt"],
            "whole": [tmp_path / f"{kind}-whole.pth"],
            "two": [tmp_path / f"{kind}-torchvision.pth", tmp_path / f"{kind}-heads.pth"],
        }
    return found


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (4, 3, 40, 36), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_it_is_what_another_implementation_computes(kind, files, images, monkeypatch):
    network, heads = random_weights(kind)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_, **__: network)
    oracle = theirs._LPIPS(pretrained=False, net=kind)
    for n in range(5):
        oracle.lins[n].model[1].weight.data = heads[f"lin{n}.model.1.weight"]
    expected = oracle(images[:2] / 127.5 - 1, images[2:] / 127.5 - 1).flatten()
    found = load_lpips(files[kind]["jax"], device="cpu").distances(images[:2], images[2:])
    assert expected.min() > 0.01
    # theirs divides by sqrt(1e-8 + |f|^2), the published package by |f| + 1e-10
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_every_form_of_the_weights_gives_the_same_distances(kind, files, images):
    jax, whole, two = (
        load_lpips(files[kind][form], device="cpu").distances(images[:2], images[2:])
        for form in ("jax", "whole", "two")
    )
    assert torch.equal(jax, whole)
    assert torch.equal(jax, two)


def test_equal_images_are_at_zero_and_the_order_does_not_matter(files, images):
    network = load_lpips(files["alex"]["jax"], device="cpu")
    assert network.distances(images, images).tolist() == [0.0] * 4
    assert torch.allclose(network.distances(images, images.flip(0)), network.distances(images.flip(0), images))


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_its_gradient_leads_one_image_to_the_other_even_from_a_black_one(kind, files, images):
    network = load_lpips(files[kind]["jax"], device="cpu")
    target = images[:1] / 127.5 - 1
    for start in (images[1:2] / 127.5 - 1, torch.full_like(target, -1.0)):
        pixels = start.clone().requires_grad_()
        before = network.between(pixels, target)
        before.sum().backward()
        assert pixels.grad.isfinite().all()
        assert pixels.grad.abs().max() > 0
        step = 1e-3 * pixels.grad / pixels.grad.abs().max()
        assert (network.between(start - step, target) < before).all()
        assert (network.between(start + step, target) > before).all()


def test_more_noise_is_further_away(files):
    network = load_lpips(files["alex"]["jax"], device="cpu")
    rng = np.random.default_rng(1)
    clean = np.add.outer(np.arange(64), np.arange(64)) + np.zeros((3, 1, 1))
    noise = rng.normal(size=(3, 64, 64))
    noisy = [np.clip(clean + sigma * noise, 0, 255).astype(np.uint8) for sigma in (0, 4, 8, 16, 32, 64)]
    distances = [
        network.distances(torch.from_numpy(noisy[0])[None], torch.from_numpy(image)[None]).item() for image in noisy
    ]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert len(set(distances)) == len(distances)


class Bomb:
    def __reduce__(self):
        return (open, ("ran.txt", "w"))


@pytest.mark.parametrize(
    "content",
    [
        {"AlexNet_0": Bomb()},
        {"AlexNet_0": {"Conv_0": {"kernel": np.array([Bomb()], dtype=object)}}},
        {"AlexNet_0": {"Conv_0": {"kernel": np.zeros((11, 11, 3, 4), dtype=np.int64)}}},
    ],
    ids=["object", "in an array", "integers"],
)
def test_a_pickle_that_holds_more_than_arrays_is_refused_and_nothing_in_it_runs(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_jax(tmp_path / "x.ckpt", content)
    with pytest.raises(InputError, match=r"x\.ckpt is torn, or holds something else than weights .* Legal: alexnet"):
        read_lpips_weights([tmp_path / "x.ckpt"])
    assert not (tmp_path / "ran.txt").exists()


def test_a_torch_file_that_holds_more_than_tensors_is_refused_and_nothing_in_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        torch.save({"lin0.model.1.weight": Bomb()}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        (tmp_path / "ran.txt").unlink(missing_ok=True)
        with pytest.raises(InputError, match="Nothing in it was run"):
            read_lpips_weights([tmp_path / "x.pth"])
        assert not (tmp_path / "ran.txt").exists()


def test_reading_a_pickle_of_another_byte_order_leaves_numpy_as_it_was(files, tmp_path):
    network, heads = random_weights("alex")
    tree = jax_tree(network, heads, "alex")
    tree["AlexNet_0"]["Conv_0"]["bias"] = tree["AlexNet_0"]["Conv_0"]["bias"].astype(">f4")
    save_jax(tmp_path / "big.ckpt", tree)
    swapped, plain = read_lpips_weights([tmp_path / "big.ckpt"]), read_lpips_weights(files["alex"]["jax"])
    assert torch.equal(swapped.biases[0], plain.biases[0])
    assert np.dtype("f4").isnative


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: [state.pop(name) for name in list(state) if "lin" in name], "the heads are not. Legal: "),
        (lambda state: [state.pop(name) for name in list(state) if "net" in name], "the network is not. Legal: "),
        (lambda state: state.clear(), "holds no weights of LPIPS. Legal: "),
        (lambda state: state.pop("net.slice1.0.bias"), "the bias at 0 is missing; expected is (4,)"),
        (lambda state: state.pop("net.slice2.3.weight"), "stand at [0, 6, 8, 10]: neither AlexNet's"),
        (
            lambda state: state.update({"lins.1.model.1.weight": torch.zeros(1, 9, 1, 1)}),
            "head 1 has the shape (9,); expected is (6,). Network and heads must be of one kind.",
        ),
        (
            lambda state: state.update({"net.slice1.0.bias": torch.full((4,), torch.nan)}),
            "the bias at 0 holds values that are no numbers",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(change, text, tmp_path):
    state = whole_state(*random_weights("alex"), "alex")
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(InputError, match=re.escape(text)) as error:
        load_lpips(tmp_path / "x.pth", device="cpu")
    assert "x.pth" in str(error.value)


def test_a_missing_file_and_too_small_images_are_refused(files, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_lpips(tmp_path / "alexnet.ckpt")
    for kind, side in (("alex", 31), ("vgg", 16)):
        network = load_lpips(files[kind]["jax"], device="cpu")
        fits, small = (torch.zeros(1, 3, size, size, dtype=torch.uint8) for size in (side, side - 1))
        assert network.distances(fits, fits).tolist() == [0]
        with pytest.raises(InputError, match=f"at least {side} pixels a side, and these have {side - 1}x{side - 1}"):
            network.distances(small, small)


def test_pairs_are_every_one_of_a_class_or_so_many_of_them_once_each():
    class_ids = np.array([0, 1, 0, 1, 0, 2, 0, 1] * 5)
    every = pairs_within(class_ids, 10_000, seed=0)
    expected = {(i, j) for j in range(40) for i in range(j) if class_ids[i] == class_ids[j]}
    assert len(every) == len(expected)
    assert set(map(tuple, every.tolist())) == expected
    some = pairs_within(class_ids, 7, seed=0)
    assert set(map(tuple, some.tolist())) < expected
    assert len({tuple(pair) for pair in some.tolist()}) == 21
    assert np.bincount(class_ids[some[:, 0]]).tolist() == [7, 7, 7]
    assert not np.array_equal(some, pairs_within(class_ids, 7, seed=1))


def test_a_class_is_sampled_alike_whatever_other_classes_there_are():
    alone = pairs_within(np.zeros(30, dtype=np.int64), 5, seed=3)
    beside = pairs_within(np.repeat([0, 1], 30), 5, seed=3)
    assert np.array_equal(alone, beside[:5])


def test_pairs_are_drawn_from_all_over_a_large_class():
    drawn = pairs_within(np.zeros(50_000, dtype=np.int64), 400, seed=0)
    assert (drawn[:, 0] < drawn[:, 1]).all()
    assert drawn.max() < 50_000
    # the larger one of two uniform numbers is 2/3 of the range in the mean
    assert abs(drawn[:, 1].mean() / 50_000 - 2 / 3) < 0.05


def test_diversity_is_the_mean_over_classes_of_their_pairs_means(files):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    class_ids = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    network: Lpips = load_lpips(files["alex"]["jax"], device="cpu")

    def distance(i, j):
        return network.distances(torch.from_numpy(images[[i]]), torch.from_numpy(images[[j]])).item()

    means = [
        np.mean([distance(i, j) for j in rows for i in rows if i < j]) for rows in ([0, 1, 2], [3, 4, 5, 6])
    ]  # fmt: skip
    found = lpips_diversity(network, lambda row: images[row], class_ids, pairs=100)
    assert found.mean == pytest.approx(np.mean(means), rel=1e-5)
    assert found.pairs == 9
    assert lpips_diversity(network, lambda row: images[row], np.arange(8), pairs=100).mean is None
    with pytest.raises(InputError, match="0 pairs of a class"):
        lpips_diversity(network, lambda row: images[row], class_ids, pairs=0)
