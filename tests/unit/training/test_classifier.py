"""Whole classifier trainings, each of a second or less."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ncm_lib import InputError, MissingExtraError, load_source
from ncm_lib.metrics.classifier import load_classifier
from ncm_lib.metrics.scores import scores
from ncm_lib.plan.confusion import load_confusion
from ncm_lib.store.filters import Filter, FilterHead
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter
from ncm_lib.training.accelerators import one_accelerator
from ncm_lib.training.classifier import train_classifier
from ncm_lib.training.classifier_config import ClassifierTraining
from ncm_lib.training.classifier_files import settle
from ncm_lib.training.classifier_images import Pictures

NAMES = ("robin", "wren")
SHADES = ((170, 60, 50), (60, 60, 150))
Write = Callable[..., Path]


def write_folder(folder: Path, count: int, seed: int, names: tuple[str, ...] = NAMES) -> Path:
    rng = np.random.default_rng(seed)
    for name, shade in zip(names, SHADES, strict=False):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(shade, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("real") / "birds", 6, seed=0)


@pytest.fixture(scope="module")
def test_birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("held-out") / "birds", 4, seed=1)


@pytest.fixture
def synthetic(tmp_path: Path) -> Write:
    """Writes a data set; labels are (class ids, weights) of its samples."""

    def make(labels: list[tuple], name: str = "aug", classes: tuple = NAMES, count: int | None = None, **record: Any):
        path = tmp_path / name
        manifest = Manifest(
            classes=classes, method="noisecutmix", config={}, seed=0, plan_hash=name, render_hash="render",
            batch_shape=1, count=count or len(labels),
        )  # fmt: skip
        rng = np.random.default_rng(7)
        with DatasetWriter(path, manifest) as writer:
            for index, (ids, weights) in enumerate(labels):
                fields = Record(
                    file_name="-", index=index, seed=index, class_ids=ids, weights=weights, method="noisecutmix",
                    plan_hash=name, **record,
                )  # fmt: skip
                writer.write_batch([(fields, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), None)])
        return path

    return make


def short(**fields: Any) -> ClassifierTraining:
    return ClassifierTraining(**({"model": "resnet-32px", "resolution": 16, "epochs": 3, "batch_size": 4} | fields))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def run(birds: Path, out: Path, **fields: Any):
    known = ("test", "validation", "synthetic")
    return train_classifier(
        birds, out=out, device="cpu", config=short(**{k: v for k, v in fields.items() if k not in known}),
        **{k: v for k, v in fields.items() if k in known},
    )  # fmt: skip


def test_a_training_learns_two_colours_and_writes_what_it_found(birds, test_birds, tmp_path):
    done = run(birds, tmp_path / "out", test=test_birds, epochs=12)
    assert done.test["accuracy"] == 1.0
    assert done.images == {"train": 10, "validation": 2, "synthetic": 0}
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(12))
    best = min(lines, key=lambda line: (-line["validation_accuracy"], line["validation_loss"]))
    assert done.epoch == best["epoch"]
    assert done.validation == {"accuracy": best["validation_accuracy"], "loss": best["validation_loss"]}
    confusion = load_confusion(tmp_path / "out" / "confusion.json", load_source(birds).classes)
    assert confusion == ((4.0, 0.0), (0.0, 4.0))
    assert np.load(tmp_path / "out" / "confusion.npy").tolist() == [[4, 0], [0, 4]]
    for name in ("confusion.png", "reliability.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.width > 100


def test_the_written_classifier_is_the_one_that_was_scored(birds, test_birds, tmp_path):
    done = run(birds, tmp_path / "out", test=test_birds, epochs=4)
    loaded = load_classifier(tmp_path / "out", device="cpu")
    images = load_source(test_birds, classes=load_source(birds).classes)
    assert loaded.classes == NAMES
    pictures = (loaded.preparation.cropped(loaded.preparation.scaled(images.read(row))) for row in range(len(images)))
    found = loaded.probabilities(pictures).argmax(axis=1)
    assert (found == images.class_ids).mean() == done.test["accuracy"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(birds, tmp_path):
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        run(birds, tmp_path / name, seed=seed, flip=True, crop="random", resize=20, pixel="cutmix")
    assert same(tmp_path / "one", tmp_path / "again")
    assert not same(tmp_path / "one", tmp_path / "other")


def test_processes_that_read_change_nothing(birds, tmp_path):
    run(birds, tmp_path / "one", epochs=1)
    run(birds, tmp_path / "two", epochs=1, workers=1)
    assert same(tmp_path / "one", tmp_path / "two")


def test_an_interrupted_training_ends_as_one_that_was_left_alone(birds, test_birds, tmp_path):
    fields = {"epochs": 5, "checkpoint_every": 2, "pixel": "mixup", "schedule": "cosine", "warmup": 0.2}
    whole = run(birds, tmp_path / "whole", test=test_birds, **fields)

    def stop(progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(
            birds, out=tmp_path / "cut", test=test_birds, device="cpu", config=short(**fields), on_progress=stop
        )
    assert (tmp_path / "cut" / "checkpoint.pt").is_file()
    resumed = run(birds, tmp_path / "cut", test=test_birds, **fields)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert (resumed.test, resumed.epoch, resumed.validation) == (whole.test, whole.epoch, whole.validation)
    epochs = [json.loads(line)["epoch"] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [0, 1, 2, 3, 4]
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()


def test_the_test_images_are_read_once_and_only_after_the_last_epoch(birds, test_birds, tmp_path, monkeypatch):
    images = load_source(birds)
    judged = load_source(test_birds, classes=images.classes)
    events = []
    read = type(judged).read

    def logged(self, image):
        events.append("test" if self is judged else "real")
        return read(self, image)

    monkeypatch.setattr(type(judged), "read", logged)
    config = short(epochs=2)
    for _ in range(2):  # a finished training is not scored again
        train_classifier(
            images, out=tmp_path / "out", test=judged, device="cpu", config=config,
            on_progress=lambda progress: events.append(f"epoch {progress.epoch}"),
        )  # fmt: skip
    assert events.count("test") == len(judged)
    assert events.index("test") > events.index("epoch 2")


def test_validation_images_never_train(birds, tmp_path, monkeypatch):
    seen = set()
    picture = Pictures.picture

    def logged(self, item):
        seen.add(self.real[item].content_hash)
        return picture(self, item)

    monkeypatch.setattr(Pictures, "picture", logged)
    run(birds, tmp_path / "out")
    assert len(seen) == 10


def test_synthetic_images_are_added_with_their_soft_labels(birds, tmp_path, synthetic):
    aug = synthetic([((0, 1), (0.25, 0.75)), ((1,), (1.0,))])
    done = run(birds, tmp_path / "out", synthetic=[aug])
    assert done.images["synthetic"] == 2
    run(birds, tmp_path / "without")
    assert not same(tmp_path / "out", tmp_path / "without")


def test_the_label_of_a_synthetic_image_decides_what_is_learned(birds, tmp_path, synthetic):
    one = run(birds, tmp_path / "one", synthetic=[synthetic([((0, 1), (0.9, 0.1))] * 4, "a")])
    other = run(birds, tmp_path / "other", synthetic=[synthetic([((0, 1), (0.1, 0.9))] * 4, "b")])
    assert one.images == other.images
    assert not same(tmp_path / "one", tmp_path / "other")


def test_a_missing_sample_is_refused_unless_one_says_so(birds, tmp_path, synthetic):
    aug = synthetic([((0,), (1.0,))], count=3)
    with pytest.raises(InputError, match="has 1 of its 3 planned samples"):
        run(birds, tmp_path / "out", synthetic=[aug])
    assert run(birds, tmp_path / "out", synthetic=[aug], incomplete="use").images["synthetic"] == 1


def test_a_filter_leaves_the_images_out_that_it_does_not_keep(birds, tmp_path, synthetic):
    aug = synthetic([((0,), (1.0,)), ((1,), (1.0,)), ((0,), (1.0,))])
    sizes = [next(aug.glob(f"images/*/{index:08d}.png")).stat().st_size for index in range(3)]
    head = FilterHead(by="clip", model="m", fingerprint="f", keep=0.7, per_class=False, plan_hash="aug")
    Filter(
        head=head, index=np.arange(3), bytes=np.array(sizes), score=np.array([0.3, 0.1, 0.2]),
        kept=np.array([True, False, True]),
    ).write(aug, "clip")  # fmt: skip
    done = run(birds, tmp_path / "out", synthetic=[aug], filter="clip", epochs=1)
    assert done.images["synthetic"] == 2
    with pytest.raises(InputError, match="has no filter 'clap'; it has clip"):
        run(birds, tmp_path / "other", synthetic=[aug], filter="clap", epochs=1)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (("wren", "robin"), "in another order: class 0 is 'wren' there and 'robin' in the real images"),
        (("robin", "owl"), "it lacks 'wren'; it has beside them 'owl'"),
        (("robin",), "has 1 classes and the real images have 2: it lacks 'wren'"),
        (("robin", "wren", "owl"), "it has beside them 'owl'"),
    ],
)
def test_other_classes_or_another_order_are_refused(birds, tmp_path, synthetic, classes, text):
    with pytest.raises(InputError, match=text):
        run(birds, tmp_path / "out", synthetic=[synthetic([((0,), (1.0,))], classes=classes)])
    assert not (tmp_path / "out").exists()


def test_a_class_id_that_does_not_exist_is_refused(birds, tmp_path, synthetic):
    with pytest.raises(InputError, match="names class 2, and the data set has the classes"):
        run(birds, tmp_path / "out", synthetic=[synthetic([((2,), (1.0,))])])


def test_a_label_that_does_not_sum_to_one_is_refused(birds, tmp_path, synthetic):
    aug = synthetic([((0,), (1.0,)), ((0, 1), (0.5, 0.25))])
    with pytest.raises(InputError, match=r"label of sample 1 of .* sums to 0.75, not to one"):
        run(birds, tmp_path / "out", synthetic=[aug])


def test_a_test_image_in_the_training_is_refused_or_dropped(birds, test_birds, tmp_path):
    both = tmp_path / "both"
    for name in NAMES:
        (both / name).mkdir(parents=True)
        for file in [*(birds / name).iterdir(), test_birds / name / "0.png"]:
            (both / name / f"{file.parent.parent.parent.name}-{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="2 images found both in the training and in the test source"):
        run(both, tmp_path / "out", test=test_birds)
    done = run(both, tmp_path / "out", test=test_birds, shared="drop", epochs=1)
    assert done.images["train"] + done.images["validation"] == 12
    assert "2 training images found in the test too" in done.notes[0]


def test_synthetic_images_made_from_test_images_are_refused(birds, test_birds, tmp_path, synthetic):
    source = load_source(test_birds)[0].content_hash
    aug = synthetic([((0,), (1.0,))], start="image", source=source, strength=0.5)
    with pytest.raises(InputError, match="was made from 1 of the test images"):
        run(birds, tmp_path / "out", test=test_birds, synthetic=[aug])


def test_synthetic_images_made_from_validation_images_are_told(birds, tmp_path, synthetic):
    aug = synthetic([((0,), (1.0,))] * 2, start="image", source=load_source(birds)[0].content_hash, strength=0.5)
    held_out = write_folder(tmp_path / "more", 2, seed=5)
    quiet = run(birds, tmp_path / "quiet", synthetic=[aug], validation=held_out, epochs=1)
    assert quiet.notes == ()
    told = run(held_out, tmp_path / "told", synthetic=[aug], validation=birds, epochs=1)
    assert "made from 1 of the 12 validation images" in told.notes[0]


def test_a_training_that_differs_far_behind_in_a_long_list_is_another_one(tmp_path):
    names = [f"class {number}" for number in range(200)]
    settle(tmp_path, {"classes": names, "config": {"epochs": 1}})
    settle(tmp_path, {"classes": tuple(names), "config": {"epochs": 1}})
    with pytest.raises(InputError, match=r'classes: the folder has .*"class 199"\] .*this run has .*"owl"\] '):
        settle(tmp_path, {"classes": [*names[:-1], "owl"], "config": {"epochs": 1}})


def test_another_training_in_the_folder_is_refused_field_by_field(birds, tmp_path):
    run(birds, tmp_path / "out", epochs=1)
    with pytest.raises(InputError, match=r"learning_rate: the folder has 0.001, this run has 0.1"):
        run(birds, tmp_path / "out", epochs=1, learning_rate=0.1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(InputError, match=r"neither empty nor a classifier training \(it holds cat.jpg\)"):
        run(birds, tmp_path / "photos", epochs=1)


def test_a_damaged_checkpoint_is_told(birds, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    config = short(checkpoint_every=1)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_classifier(birds, out=tmp_path / "out", device="cpu", config=config, on_progress=stop)
    (tmp_path / "out" / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"checkpoint.pt is damaged"):
        train_classifier(birds, out=tmp_path / "out", device="cpu", config=config)


def test_one_image_per_class_needs_validation_images(tmp_path):
    few = write_folder(tmp_path / "few", 1, seed=2)
    with pytest.raises(InputError, match="No class has two images"):
        run(few, tmp_path / "out")
    done = run(few, tmp_path / "out", validation=write_folder(tmp_path / "more", 2, seed=3), epochs=1)
    assert done.images == {"train": 2, "validation": 4, "synthetic": 0}


def test_a_training_that_diverges_says_so(birds, tmp_path):
    with pytest.raises(InputError, match=r"has diverged. Take a smaller learning rate than 1e"):
        run(birds, tmp_path / "out", learning_rate=1e30, optimizer="sgd", epochs=3)


def test_a_folder_of_transformers_is_a_start_and_gets_a_new_last_layer(birds, tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    start = tmp_path / "vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        num_labels=5,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(start)
    done = run(birds, tmp_path / "out", model=str(start), epochs=1, learning_rate=1e-6)
    before, after = load_file(start / "model.safetensors"), weights(tmp_path / "out")
    name = next(name for name in before if name.endswith("query.weight"))
    assert torch.allclose(before[name], after[name], atol=1e-4)
    assert after["classifier.weight"].shape == (2, 16)
    assert load_classifier(done.path, device="cpu").classes == NAMES
    again = run(birds, tmp_path / "random", model=str(start), epochs=1, learning_rate=1e-6, pretrained=False, seed=1)
    assert not torch.allclose(before[name], weights(again.path)[name], atol=1e-3)


def test_a_classifier_of_timm_without_timm_names_the_extra(birds, tmp_path):
    start = tmp_path / "timm"
    start.mkdir()
    (start / "config.json").write_text(
        json.dumps({"architecture": "resnet18", "num_classes": 9, "num_features": 512, "pretrained_cfg": {}})
    )
    save_file({"weight": torch.zeros(1)}, start / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingExtraError, match=r"noisecutmix\[timm\]"):
        run(birds, tmp_path / "out", model=str(start))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            "no-such/model",
            r"no folder 'no-such/model', and the hub gave no image classifier of that id \(.*\); legal",
        ),
        ("./no-such/model", r"There is no image classifier at '\./no-such/model'; legal: "),
        ("../far/no-such/model", r"There is no image classifier at '\.\./far/no-such/model'; legal: "),
        ("resnet-32pxx", "There is no image classifier 'resnet-32pxx'; legal: resnet-32px, a folder"),
    ],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_classifier_that_is_not_there_is_one_message(birds, tmp_path, caplog, capsys, model, text, pretrained):
    with pytest.raises(InputError, match=text) as error:
        run(birds, tmp_path / "out", model=model, pretrained=pretrained)
    assert "\n" not in str(error.value)
    assert caplog.text == ""
    assert "Retry" not in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(birds, tmp_path):
    with pytest.raises(InputError, match="The device 'tpu' is not to be had here; there is cpu"):
        train_classifier(birds, out=tmp_path / "out", config=short(), device="tpu")


def test_an_interrupt_tells_how_much_is_kept(birds, tmp_path, monkeypatch):
    from ncm_lib.training.classifier_images import Steps

    read, seen = Steps.__getitem__, []

    def interrupted(self, step):
        seen.append(step)
        if len(seen) == 8:  # three steps an epoch
            raise KeyboardInterrupt
        return read(self, step)

    monkeypatch.setattr(Steps, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt, match="2 of 3 epochs are kept, the same command continues"):
        run(birds, tmp_path / "out", checkpoint_every=1)


def test_the_weights_of_the_chosen_epoch_are_written_and_not_the_last_ones(birds, test_birds, tmp_path):
    # with its two classes exchanged, the validation gets worse as the training gets better
    for name, other in (NAMES, NAMES[::-1]):
        shutil.copytree(test_birds / other, tmp_path / "exchanged" / name)
    done = run(birds, tmp_path / "out", validation=tmp_path / "exchanged", epochs=12)
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert done.epoch < 11
    assert lines[-1]["validation_loss"] > 1.5 * done.validation["loss"]
    judge, images = load_classifier(done.path, device="cpu"), load_source(tmp_path / "exchanged")
    pictures = (judge.preparation.cropped(judge.preparation.scaled(images.read(row))) for row in range(len(images)))
    found = scores(judge.probabilities(pictures), images.class_ids.astype(np.int64))
    assert found.loss == pytest.approx(done.validation["loss"], rel=1e-4)


def test_a_training_leaves_no_settings_of_accelerate_behind(birds, tmp_path):
    run(birds, tmp_path / "out", epochs=1)
    with one_accelerator(cpu=True, mixed_precision="bf16") as accelerator:
        assert accelerator.mixed_precision == "bf16"
    run(birds, tmp_path / "again", epochs=1)
