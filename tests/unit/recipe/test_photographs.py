"""The recipe of the demo model, on a data set of a few drawn pictures in the layout of the real one."""

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

from ncm_lib import load_model

from ...tiny_groceries import NOUNS, produce, write_part
from ...tiny_lpips import jax_tree, random_weights, save_jax

RECIPE = Path(__file__).parents[3] / "ckpts" / "recipe"
MODULES = (
    "autoencoder", "checkpoint", "denoiser", "export", "perceptual", "photographs", "stages", "tokenizer",
    "train_photographs",
)  # fmt: skip


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    modules = SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    yield modules
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def data(tmp_path, recipe, monkeypatch):
    """The other parts are listed, and not one of their photographs is there."""
    folder = tmp_path / "GroceryStoreDataset"
    files = write_part(folder, "train")
    (folder / "dataset" / "val.txt").write_text("val/Lemon/Lemon_001.jpg, 8, 8\n")
    (folder / "dataset" / "test.txt").write_text("test/Lemon/Lemon_001.jpg, 8, 8\n")
    monkeypatch.setattr(recipe.photographs, "TRAIN_SHA256", recipe.photographs.files_digest(produce(files)))
    monkeypatch.setattr(recipe.photographs, "CLASSES", NOUNS)
    return folder


def test_there_are_fifty_kinds_of_produce_with_nouns_of_their_own(recipe):
    assert len(recipe.photographs.CLASSES) == len(set(recipe.photographs.CLASSES.values())) == 50


def test_produce_is_listed_with_its_noun_and_packages_are_not(recipe, data):
    part = recipe.photographs.load(data, "train")
    assert part.names == ("lemon", "Kaiser pear", "red beet")
    assert part.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [file.parent.name for file in part.files] == ["Lemon"] * 2 + ["Kaiser"] * 2 + ["Red-Beet"] * 2


def test_classes_that_are_held_out_leave_no_photograph_behind_and_the_ids_are_counted_anew(recipe, data):
    part = recipe.photographs.load(data, "train", hold_out=("lemon",))
    assert part.names == ("Kaiser pear", "red beet")
    assert part.labels.tolist() == [0, 0, 1, 1]
    assert not [file for file in part.files if "Lemon" in file.name]
    with pytest.raises(SystemExit, match=r"no classes \['melon'\]"):
        recipe.photographs.load(data, "train", hold_out=("melon",))
    with pytest.raises(SystemExit, match="At least two classes"):
        recipe.photographs.load(data, "train", hold_out=("lemon", "red beet"))


def test_other_training_photographs_are_refused_and_a_missing_folder_says_where_to_get_them(recipe, data, tmp_path):
    Image.new("RGB", (60, 60)).save(data / "dataset" / "train" / "Lemon" / "Lemon_000.png")
    with pytest.raises(SystemExit, match="other training photographs than the demo model was made of"):
        recipe.photographs.load(data, "train")
    with pytest.raises(SystemExit, match=r"git clone https://github\.com/marcusklasson/GroceryStoreDataset"):
        recipe.photographs.load(tmp_path / "nothing", "train")


def test_a_whole_photograph_is_the_square_in_its_middle(recipe, data):
    wide, square, *_ = recipe.photographs.whole(recipe.photographs.load(data, "train"), 16)
    assert square[8, :, 0].min() < 12
    assert square[8, :, 0].max() > 243
    # 60 of 80 columns: an eighth is cut off on each side
    assert wide[8, 0, 0] == pytest.approx(255 * (0.125 + 0.75 / 32), abs=4)
    assert wide[8, -1, 0] == pytest.approx(255 * (0.875 - 0.75 / 32), abs=4)
    assert (wide[..., 2] == 8).all()


def test_crops_are_squares_of_all_allowed_sizes_from_all_over_and_half_of_them_are_mirrored(recipe, data, tmp_path):
    part = recipe.photographs.load(data, "train")
    images, labels = recipe.photographs.crops(part, 16, 200, tmp_path / "crops.npy")
    assert images.shape == (1200, 16, 16, 3)
    assert labels.tolist() == np.repeat(part.labels, 200).tolist()
    square = images[200:400].astype(float)  # the second lemon, whose sides are equal
    across = (square[:, 8, -1, 0] - square[:, 8, 0, 0]) * 16 / 15 / 255
    down = (square[:, -1, 8, 1] - square[:, 0, 8, 1]) * 16 / 15 / 255
    assert 0.4 < (across < 0).mean() < 0.6
    assert np.abs(np.abs(across) - down).max() < 0.03
    assert down.min() == pytest.approx(recipe.photographs.SMALLEST_SIDE, abs=0.04)
    assert down.max() == pytest.approx(1.0, abs=0.04)
    middle = square[:, 8, 8, :2] / 255
    assert middle.min() < 0.35
    assert middle.max() > 0.65
    again, _ = recipe.photographs.crops(part, 16, 200, tmp_path / "again.npy")
    assert np.array_equal(images, again)


def test_the_colour_model_trains_in_pieces_and_knows_nothing_of_what_was_held_out(recipe, data, tmp_path, monkeypatch):
    network, heads = random_weights("alex")
    save_jax(tmp_path / "alex.ckpt", jax_tree(network, heads, "alex"))
    full = recipe.train_photographs.RECIPE
    small = replace(
        full,
        autoencoder=replace(full.autoencoder, size=32, widths=(32, 32), steps=3, batch=4),
        denoiser=replace(full.denoiser, widths=(32, 32, 32), steps=2, batch=4, average=0.9),
    )
    monkeypatch.setattr(recipe.train_photographs, "RECIPE", small)
    monkeypatch.setattr(recipe.train_photographs, "COPIES", 4)

    def run(name, minutes):
        options = {
            "--data": data, "--work": tmp_path / f"{name}-work", "--out": tmp_path / name, "--hold-out": "lemon",
            "--lpips": tmp_path / "alex.ckpt", "--minutes": minutes, "--steps": 2,
        }  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["train", *(str(word) for pair in options.items() for word in pair)])
        return recipe.train_photographs.main()

    assert run("whole", 10) == 0
    codes = [run("pieces", 0)]
    while codes[-1] == 3 and len(codes) < 9:
        codes.append(run("pieces", 0))
    # a step of the autoencoder each, of which the last goes on to the denoiser's first
    assert codes == [3, 3, 3, 0]
    models = [load_model(tmp_path / name, device="cpu") for name in ("whole", "pieces")]
    for part in ("unet", "vae", "text_encoder"):
        one, other = (getattr(model.family, part).state_dict() for model in models)
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name
    assert models[0].classes.names == ("Kaiser pear", "red beet")
    assert models[0].defaults.guidance_scale == small.guidance_scale
    vocabulary = json.loads((tmp_path / "whole-work" / "tokenizer" / "vocab.json").read_text())
    assert "kaiser</w>" in vocabulary
    assert "lemon</w>" not in vocabulary


def test_a_training_that_is_killed_goes_on_at_the_last_checkpoint(recipe, tmp_path, monkeypatch):
    full = recipe.train_photographs.RECIPE.autoencoder
    settings = replace(full, size=16, widths=(32, 32), steps=4, batch=2)
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    calls = []

    def distance(decoded, pixels):
        calls.append(len(calls))
        if "killed" in work.name and len(calls) == 3:
            raise KeyboardInterrupt
        return (decoded - pixels).abs().mean()

    def train():
        return recipe.autoencoder.train(images, settings, work, seconds=600, perceptual=distance)

    work = tmp_path / "whole"
    whole = train()
    assert len(calls) == 4
    calls.clear()
    work = tmp_path / "killed"
    monkeypatch.setattr(recipe.checkpoint, "SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        train()
    monkeypatch.setattr(recipe.checkpoint, "SECONDS", 600)
    continued = train()
    assert len(calls) == 3 + 2
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, continued.state_dict()[name]), name


def test_lpips_of_the_loss_has_to_be_named(recipe, tmp_path):
    settings = replace(recipe.train_photographs.RECIPE.autoencoder, steps=1, batch=1)
    with pytest.raises(SystemExit, match="name its weights with --lpips"):
        recipe.autoencoder.train(np.zeros((2, 64, 64, 3), np.uint8), settings, tmp_path, seconds=60)


def test_the_loss_is_the_distance_of_images_large_enough_for_alexnet(recipe, tmp_path):
    losses = {}
    for kind in ("alex", "vgg"):
        network, heads = random_weights(kind)
        save_jax(tmp_path / f"{kind}.ckpt", jax_tree(network, heads, kind))
        losses[kind] = recipe.perceptual.Perceptual(tmp_path / f"{kind}.ckpt", "cpu")
    assert (losses["alex"].zoom, losses["vgg"].zoom) == (2, 1)
    one, other = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for loss in losses.values():
        assert float(loss(one, one)) == 0
        assert float(loss(one, other)) > 0
