"""What is measured of the demo model, and the plan of its proof, on tiny data."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from ncm_lib import load_model, methods
from ncm_lib.metrics.classifier import preparation_of, pretrained
from ncm_lib.training.compare_plan import load_plan

from ...garments import GARMENTS
from ...tiny_groceries import NOUNS, produce, write_part
from ...tiny_lpips import jax_tree, random_weights, save_jax

ROOT = Path(__file__).parents[3]
MODULES = (
    "copies", "efficientnet", "fashion", "few_shot_page", "few_shot_run", "generator", "mobilenet",
    "photographs_few_shot", "photographs_model", "autoencoder", "checkpoint", "denoiser", "export", "perceptual",
    "photographs", "stages", "tokenizer", "train_photographs",
)  # fmt: skip


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "ckpts" / "recipe"))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def data(tmp_path, bench, monkeypatch):
    folder = tmp_path / "GroceryStoreDataset"
    files = {part: write_part(folder, part) for part in ("train", "val", "test")}
    digest = bench.photographs.files_digest(produce(files["train"]))
    monkeypatch.setattr(bench.photographs, "TRAIN_SHA256", digest)
    monkeypatch.setattr(bench.photographs, "CLASSES", NOUNS)
    return folder


def scenes(count: int, seed: int) -> np.ndarray:
    """Pictures of 96 pixels, each with blobs of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((96, 96), Image.Resampling.BICUBIC)) for one in coarse])


def test_a_copy_of_a_crop_is_found_mirrored_redder_and_softer_and_new_pictures_are_not(bench):
    train, unseen, new = scenes(50, 0), scenes(400, 1), scenes(400, 2)
    features = {name: rows.reshape(len(rows), -1)[:, ::97].astype(np.float32) for name, rows in
                (("train", train), ("unseen", unseen), ("new", new))}  # fmt: skip
    crops = train[:, 16:80, 8:72]
    views = bench.copies.Views(
        layout=bench.copies.thumbnails(np.concatenate([crops, bench.copies.mirrored(crops)])),
        layout_of=np.tile(np.arange(50), 2),
        content=bench.copies.unit(features["train"]),
        content_of=np.arange(50),
    )
    unseen_at = bench.copies.distances(bench.copies.thumbnails(unseen), features["unseen"], views)
    thresholds = bench.copies.Thresholds.of_unseen(unseen_at)
    found = thresholds.found(bench.copies.distances(bench.copies.thumbnails(new), features["new"], views))
    assert found["either"].mean() < 0.05
    soft = crops[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    reddened = crops // 4 + np.array([150, 0, 60], np.uint8)
    for copied in (crops, bench.copies.mirrored(crops), reddened, soft):
        at = bench.copies.distances(bench.copies.thumbnails(copied), features["unseen"][:50], views)
        assert thresholds.found(at)["layout"].all()
        assert thresholds.found(at)["either"].all()
        assert (at.layout.rows % 50 == np.arange(50)).all()


def test_photographs_that_are_alike_are_found_among_the_others_and_none_is_its_own_neighbour(bench):
    pictures = scenes(10, 3)[:, :64, :64]
    pictures[1] = pictures[0]
    rows = bench.copies.thumbnails(pictures)
    features = bench.copies.unit(pictures.reshape(10, -1)[:, ::97].astype(np.float32))
    numbers = np.arange(10)
    views = bench.copies.Views(layout=rows, layout_of=numbers, content=features, content_of=numbers)
    found = bench.copies.among_others(rows, features, views)
    for distances in (found.layout.distances, found.content.distances):
        assert (distances[:2] < 1e-3).all()
        assert (distances[2:] > 0.1).all()


def test_corners_are_four_squares_that_overlap(bench):
    images = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    found = bench.copies.corners(images)
    assert [one.shape for one in found] == [(1, 6, 6, 3)] * 4
    assert [int(one[0, 0, 0, 0]) for one in found] == [int(images[0, down, across, 0]) for down in (0, 2)
                                                       for across in (0, 2)]  # fmt: skip


def test_the_probe_learns_what_a_line_can_separate_and_shrinks_its_weights_among_noise(bench):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    signal = np.eye(3, dtype=np.float32)[labels] * 4 + rng.normal(size=(120, 3)).astype(np.float32)
    probe = bench.efficientnet.fit_probe(signal, labels)
    assert probe.accuracy(signal, labels) > 0.95
    fresh = np.eye(3, dtype=np.float32)[labels] * 4 + rng.normal(size=(120, 3)).astype(np.float32)
    assert probe.accuracy(fresh, labels) > 0.9
    assert probe.accuracy(fresh, (labels + 1) % 3) < 0.1
    noisy = np.concatenate([signal / 4, rng.normal(size=(120, 300)).astype(np.float32)], axis=1)
    assert bench.efficientnet.fit_probe(noisy, labels, (1e-4, 1.0)).penalty == 1.0


class TinyFeatures(torch.nn.Module):
    """A convolution in place of EfficientNet's many."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Conv2d(3, 8, 16, stride=16)

    def extract_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layer(pixels).relu()


def test_every_measurement_of_a_model_is_made_once_and_noted(bench, data, tmp_path, monkeypatch, capsys):
    save_jax(tmp_path / "alex.ckpt", jax_tree(*random_weights("alex"), "alex"))
    full = bench.train_photographs.RECIPE
    small = replace(
        full,
        autoencoder=replace(full.autoencoder, size=32, widths=(32, 32), steps=2, batch=2, perceptual_weight=0.0),
        denoiser=replace(full.denoiser, widths=(32, 32, 32), steps=1, batch=2),
    )
    part = bench.photographs.load(data, "train", hold_out=("lemon",))
    images, labels = bench.photographs.crops(part, 32, 4, tmp_path / "crops.npy")
    work = tmp_path / "work"
    assert bench.stages.train(images, labels, part.names, small, work=work, out=tmp_path / "model", seconds=600) == 0
    monkeypatch.setattr(bench.efficientnet, "_load", TinyFeatures)
    monkeypatch.setattr(bench.efficientnet.Features, "width", 8)
    monkeypatch.setattr(bench.photographs_model, "COPIES", 4)
    monkeypatch.setattr(bench.photographs_model, "STEPS", 2)
    options = {
        "--data": data, "--model": tmp_path / "model", "--work": tmp_path / "bench", "--count": 12, "--guidance": 1,
        "--lpips": tmp_path / "alex.ckpt",
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["photographs_model.py", *words])
    code = bench.photographs_model.main()
    shown = capsys.readouterr().out
    assert code == int("MISSED" in shown)
    assert shown.count("passed  ") + shown.count("MISSED  ") == 4
    found = json.loads((tmp_path / "bench" / "results.json").read_text())
    for name in (
        "autoencoder, PSNR in dB on 4 validation photographs",
        "autoencoder, LPIPS (alex) on the same",
        "linear probe, accuracy on real test photographs",
        "recognised of 12 images, 2 steps, guidance 1",
        "recognised of 12 images, 2 steps, guidance 3",
        "Frechet distance (EfficientNet-Lite0, 4 images) of real training photographs to test photographs",
        "near-duplicates by either: generated images",
        "label agreement of NoiseCutMix (Spearman, 12 images)",
        "label agreement of pixel CutMix of real images (Spearman, 12 images)",
    ):
        assert name in found
    # training and test photographs are drawn alike here, and told apart by their blue
    assert found["linear probe, accuracy on real test photographs"] == 1.0
    for name, size in (
        ("neighbours", (6 * (3 * 32 + 8), 4 * 32)), ("reconstruction", (4 * 32, 2 * 32)), ("grid", (10 * 32, 32)),
    ):  # fmt: skip
        with Image.open(tmp_path / "bench" / f"{name}.png") as page:
            assert page.size == size
    # mixed images are made anew each time; of all others nothing is
    asked = []
    kept = bench.efficientnet.Features._batch
    monkeypatch.setattr(
        bench.efficientnet.Features, "_batch", lambda self, images: asked.append(len(images)) or kept(self, images)
    )
    assert bench.photographs_model.main() == code
    assert asked == [12, 12]
    assert json.loads((tmp_path / "bench" / "results.json").read_text()) == found


@pytest.mark.parametrize(
    ("reached", "missed"),
    [
        ({"share": 0.8, "copied": 0.1, "of_noise": 0.5, "of_pixels": 0.55}, []),
        ({"share": 0.79, "copied": 0.1, "of_noise": 0.5, "of_pixels": 0.5}, ["recognised / real is at least 0.8"]),
        ({"share": 0.9, "copied": 0.11, "of_noise": 0.5, "of_pixels": 0.5}, ["near-duplicates are at most 0.1"]),
        ({"share": 0.9, "copied": 0.0, "of_noise": 0.49, "of_pixels": 0.5}, ["label agreement is at least 0.5"]),
        (
            {"share": 0.9, "copied": 0.0, "of_noise": 0.6, "of_pixels": 0.66},
            ["and not below pixel CutMix's by more than 0.05"],
        ),
    ],
)
def test_a_model_passes_when_it_reaches_every_bar(bench, reached, missed):
    passed = bench.photographs_model.bars(**reached)
    assert len(passed) == 4
    assert [name for name, good in passed.items() if not good] == missed


def test_a_folder_of_measurements_belongs_to_one_model(bench, data, tmp_path, monkeypatch):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "settings.json").write_text(json.dumps({"model": "another"}))
    options = ["--data", data, "--model", GARMENTS, "--work", tmp_path / "bench"]
    monkeypatch.setattr(sys, "argv", ["photographs_model.py", *map(str, options)])
    with pytest.raises(SystemExit, match="Name another folder with --work"):
        bench.photographs_model.main()


def test_class_images_are_of_the_classes_in_turn_and_kept(bench, tmp_path):
    model = load_model(GARMENTS, device="cpu")
    images, labels = bench.generator.class_images(model, 3, 1.0, 2, tmp_path)
    assert labels.tolist() == [0, 1, 2]
    assert images.shape == (3, 32, 32, 3)
    again, _ = bench.generator.class_images(model, 3, 1.0, 2, tmp_path)
    assert np.array_equal(images, again)
    guided, _ = bench.generator.class_images(model, 3, 3.0, 2, tmp_path)
    assert not np.array_equal(images, guided)


def test_torchvisions_mobilenet_gives_the_same_answers_in_transformers_form(bench, tmp_path):
    torch.manual_seed(0)
    config = MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5)
    config.num_labels = 1000
    model = MobileNetV2ForImageClassification(config).eval()
    state = {
        f"features.{place}": value for place, (name, value) in enumerate(model.state_dict().items())
        if not name.endswith("num_batches_tracked")
    }  # fmt: skip
    torch.save(state, tmp_path / "weights.pth")
    out = bench.mobilenet.write_mobilenet(tmp_path / "weights.pth", tmp_path / "mobilenet")
    pixels = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(pretrained(str(out)).eval()(pixels).logits, model(pixels).logits)
    assert preparation_of(str(out)).resolution == 224
    torch.save(dict(reversed(state.items())), tmp_path / "other.pth")
    with pytest.raises(SystemExit, match="no state dict of torchvision's MobileNetV2"):
        bench.mobilenet.write_mobilenet(tmp_path / "other.pth", tmp_path / "other")


def test_the_proof_holds_out_sixteen_of_the_fruits(bench):
    fruits = list(bench.photographs.CLASSES.values())[:28]
    assert fruits[-1] == "satsuma"
    assert len(set(bench.photographs_few_shot.HELD_OUT)) == 16
    assert set(bench.photographs_few_shot.HELD_OUT) < set(fruits)


def test_the_folders_of_the_proof_hold_what_is_held_out_and_nothing_else(bench, data, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.photographs_few_shot, "HELD_OUT", ("lemon", "Kaiser pear"))
    assert bench.photographs_few_shot.folder(data, "test", tmp_path / "test") == 4
    assert sorted(str(file.relative_to(tmp_path / "test")) for file in (tmp_path / "test").rglob("*.png")) == [
        "Kaiser pear/Kaiser_000.png", "Kaiser pear/Kaiser_001.png", "lemon/Lemon_000.png", "lemon/Lemon_001.png",
    ]  # fmt: skip


def test_the_proof_asks_for_its_generator_and_refuses_one_that_knows_the_fruit(bench, data, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.photographs_few_shot, "HELD_OUT", ("lemon", "Kaiser pear"))
    work = tmp_path / "proof"
    (work / "mobilenet").mkdir(parents=True)
    options = ["--data", str(data), "--work", str(work), "--mobilenet", "weights.pth"]
    monkeypatch.setattr(sys, "argv", ["photographs_few_shot.py", *options])
    with pytest.raises(SystemExit, match=r'train_photographs.py .* --hold-out "lemon,Kaiser pear"$'):
        bench.photographs_few_shot.main()
    (work / "variant").mkdir()
    (work / "variant" / "classes.json").write_text('{"classes": ["lemon", "leek"]}')
    with pytest.raises(SystemExit, match=r"was trained on \['lemon'\], which it must not know"):
        bench.photographs_few_shot.main()


def test_the_plan_of_the_proof_is_legal_and_has_a_row_of_every_method(bench):
    plan = load_plan(bench.photographs_few_shot.PLAN)
    assert plan.shots == (5, 10)
    assert len(plan.seeds) >= 5
    assert plan.generators["variant"].concepts is not None
    kinds = {row.method for row in plan.rows if row.method}
    every = {kind.name for name in methods.__all__ if (kind := getattr(methods, name)) is not methods.Method}
    assert kinds == every - {"real-filter"}
    # which plans what sd-random plans: its images, filtered by what has seen the few shots alone
    (filtered,) = (row for row in plan.rows if row.filter)
    assert (filtered.name, filtered.method, filtered.filter.row) == ("real-filter", "sd-random", "original")
    # what a paper does without learned words is done without them: with them Real-Mix would be Diff-Mix
    untaught = {row.method for row in plan.rows if row.method and plan.generator_of(row).concepts is None}
    assert untaught == {"real-mix", "real-guidance"}
    # as many updates at both numbers of shots: a synthetic image takes a real one's place
    updates = {shots: shots * plan.classifier_of(plan.rows[0], shots, 0).epochs for shots in plan.shots}
    assert len(set(updates.values())) == 1
