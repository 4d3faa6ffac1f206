"""Synthetic sets whose faults are known, seen by a small classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ncm_lib import ClassifierTraining, InputError, load_source, train_classifier
from ncm_lib.cli.main import main
from ncm_lib.metrics.evaluate import evaluate
from ncm_lib.metrics.frechet import frechet_distance
from ncm_lib.metrics.neighbours import diversity, nearest, unit
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter

from ...tiny_lpips import jax_tree, random_weights, save_jax

NAMES, SHADES = ("robin", "wren"), ((190, 50, 40), (40, 50, 190))


def picture(rng, share: float) -> np.ndarray:
    """Left part robin, right part wren; share is the robin's."""
    pixels = np.empty((16, 16, 3))
    pixels[:, : round(16 * share)] = SHADES[0]
    pixels[:, round(16 * share) :] = SHADES[1]
    return np.clip(pixels + rng.normal(0, 25, pixels.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("evaluate") / "birds", np.random.default_rng(0)
    for class_id, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(picture(rng, 1 - class_id)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def judge(real, tmp_path_factory):
    out = tmp_path_factory.mktemp("judge") / "out"
    config = ClassifierTraining(
        model="resnet-32px", resolution=16, epochs=10, batch_size=8, pixel="cutmix", pixel_probability=0.8
    )
    train_classifier(real, out=out, config=config, device="cpu")
    return out


@pytest.fixture
def written(tmp_path):
    def make(images, labels, classes=NAMES, name="aug"):
        path = tmp_path / name
        manifest = Manifest(
            classes=classes, method="noisecutmix", config={}, seed=0, plan_hash="p", render_hash="r", batch_shape=1,
            count=len(images),
        )  # fmt: skip
        with DatasetWriter(path, manifest) as writer:
            for index, (image, (ids, weights)) in enumerate(zip(images, labels, strict=True)):
                record = Record(
                    file_name="-", index=index, seed=index, class_ids=ids, weights=weights, method="noisecutmix",
                    plan_hash="p",
                )  # fmt: skip
                writer.write_batch([(record, image, None)])
        return path

    return make


def test_right_labels_are_faithful_and_swapped_ones_are_not(written, judge):
    rng = np.random.default_rng(1)
    images = [picture(rng, share) for share in (1, 0, 1, 0)]
    right = evaluate(written(images, [((0,), (1.0,)), ((1,), (1.0,))] * 2), classifier=judge, device="cpu")
    assert (right.labels.faithfulness, right.labels.in_label, right.labels.agreement) == (1.0, 1.0, None)
    assert right.features.frechet_distance is None


def test_swapped_labels_are_seen(written, judge):
    rng = np.random.default_rng(1)
    images = [picture(rng, share) for share in (1, 0, 1, 0)]
    found = evaluate(written(images, [((1,), (1.0,)), ((0,), (1.0,))] * 2), classifier=judge, device="cpu")
    assert found.labels.faithfulness == 0.0


def test_soft_labels_that_follow_the_areas_agree(written, judge):
    rng, shares = np.random.default_rng(2), np.linspace(0.1, 0.9, 12)
    images = [picture(rng, share) for share in shares]
    labels = [((0, 1), (float(share), float(1 - share))) for share in shares]
    found = evaluate(written(images, labels), classifier=judge, device="cpu").labels
    assert found.agreement > 0.8
    assert found.in_label == 1.0


def test_copies_of_training_images_are_seen_and_shown(written, judge, real, tmp_path):
    listing, rng = load_source(real), np.random.default_rng(3)
    copies = [np.asarray(listing.read(row)) for row in (2, 9)]
    labels = [((int(listing.class_ids[row]),), (1.0,)) for row in (2, 9)]
    new = [picture(rng, 0.5) for _ in range(2)]
    folder = written([*copies, *new], [*labels, ((0, 1), (0.5, 0.5)), ((0, 1), (0.5, 0.5))])
    found = evaluate(folder, classifier=judge, real=real, out=tmp_path / "seen", device="cpu")
    assert found.features.near_copies == 0.5
    assert {pair["real"] for pair in found.features.nearest_pairs[:2]} == {
        listing[2].content_hash,
        listing[9].content_hash,
    }
    assert {pair["index"] for pair in found.features.nearest_pairs[:2]} == {0, 1}
    assert found.features.nearest_pairs[0]["distance"] == pytest.approx(0, abs=1e-5)
    assert "too large, so compare it at equal numbers only" in found.notes[0]
    kept = json.loads((tmp_path / "seen" / "evaluation.json").read_text())
    assert kept["features"]["near_copies"] == 0.5
    assert kept["features"]["network"] == str(judge)
    with Image.open(tmp_path / "seen" / "nearest.png") as shown:
        assert shown.width > shown.height


def test_the_command_shows_the_numbers_and_whose_they_are(written, judge, real, capsys):
    rng = np.random.default_rng(1)
    folder = written([picture(rng, share) for share in (1, 0)], [((0,), (1.0,)), ((1,), (1.0,))])
    assert main(["evaluate", str(folder), "--classifier", str(judge), "--real", str(real), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "taken for the class of largest weight          100.0 %" in text
    assert f"distances in the features of {judge}" in text


def test_lpips_says_how_different_images_of_a_class_look(written, real, tmp_path, capsys):
    save_jax(tmp_path / "vgg16.ckpt", jax_tree(*random_weights("vgg"), "vgg"))
    rng, alike = np.random.default_rng(1), np.random.default_rng(2)
    robin = picture(alike, 1)
    images = [robin, robin, picture(rng, 0), picture(rng, 0)]
    folder = written(images, [((0,), (1.0,))] * 2 + [((1,), (1.0,))] * 2)
    found = evaluate(folder, lpips=tmp_path / "vgg16.ckpt", real=real, lpips_pairs=5, device="cpu")
    assert (found.labels, found.features) == (None, None)
    other = written(images[2:], [((1,), (1.0,))] * 2, name="wrens")
    wrens = evaluate(other, lpips=tmp_path / "vgg16.ckpt", device="cpu").lpips
    assert found.lpips.diversity == pytest.approx(wrens.diversity / 2)
    assert (found.lpips.pairs, found.lpips.real_pairs, wrens.pairs) == (2, 10, 1)
    assert wrens.real_diversity is None
    assert 0.2 < found.lpips.real_diversity / wrens.diversity < 5
    command = ["evaluate", str(other), "--lpips", str(tmp_path / "vgg16.ckpt"), "--out", str(tmp_path / "seen")]
    assert main([*command, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert f"LPIPS over 1 pair by vgg of {tmp_path / 'vgg16.ckpt'}" in text
    kept = json.loads((tmp_path / "seen" / "evaluation.json").read_text())
    assert kept["lpips"]["diversity"] == wrens.diversity
    assert kept["features"] is None


def test_other_classes_and_no_network_are_refused(written, judge):
    folder = written([np.zeros((16, 16, 3), dtype=np.uint8)], [((0,), (1.0,))], classes=("wren", "robin"))
    with pytest.raises(InputError, match="names and order must be the same"):
        evaluate(folder, classifier=judge, device="cpu")
    with pytest.raises(InputError, match="give a classifier, features, weights of LPIPS, or more than one"):
        evaluate(folder)
    assert evaluate(folder, features=judge, device="cpu").labels is None


def test_the_frechet_distance_of_shifted_gaussians_is_the_shift():
    pytest.importorskip("torchmetrics")
    rows = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    assert frechet_distance(rows, rows + np.float32([1, 2, 0])) == pytest.approx(5, rel=1e-3)
    assert frechet_distance(rows, rows * 2) == pytest.approx(3, rel=0.05)


def test_no_image_is_its_own_neighbour():
    rows = unit(np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32))
    found = nearest(rows, rows, same=True)
    assert found.rows.tolist() == [1, 0, 1]
    assert nearest(rows, rows).distances == pytest.approx(np.zeros(3), abs=1e-6)


def test_diversity_is_within_classes():
    rows = np.array([[0, 0], [0, 1], [9, 9], [9, 9]], dtype=np.float32)
    assert diversity(rows, np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    assert diversity(rows[:1], np.array([0])) is None
