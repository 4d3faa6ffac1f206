"""Filters by tiny real CLIP and ViT models on disk: what is scored, marked, taken over, refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from ncm_lib import ClassList, InputError, RenderSettings, SDRandom, SyntheticDataset, generate
from ncm_lib.metrics.clip_score import ClipScore
from ncm_lib.metrics.filter import filter_dataset, highest
from ncm_lib.metrics.label_probability import LabelProbability
from ncm_lib.store.filters import Filter

from ...tiny_clip import save_tiny_clip

CLASSES = ClassList.of(["sneaker", "bag", "coat"], meta_class="garment")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A classifier of the real class with random weights, whose labels stand in another order."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        id2label={0: "coat", 1: "sneaker", 2: "bag"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vit") / "tiny-vit"
    ViTForImageClassification(config).save_pretrained(folder)
    pixels = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


@pytest.fixture(scope="module")
def ten(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "ten"
    make(tiny_model, folder, 10)
    return folder


@pytest.fixture
def dataset(ten, tmp_path):
    return shutil.copytree(ten, tmp_path / "set")


def make(model, out, count):
    settings = RenderSettings(num_inference_steps=1, guidance_scale=1.0)
    generate(SDRandom(classes=CLASSES), model, out=out, count=count, batch_size=5, settings=settings)


def files(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.parent.name != "filters"}


def test_the_clip_score_is_the_cosine_that_the_stock_model_and_processor_give(clip, dataset):
    from transformers import CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(clip), CLIPTokenizer.from_pretrained(clip)
    filter_dataset(dataset, ClipScore(clip, device="cpu"))
    scores = Filter.read(dataset, "clip").score
    for row, (image, label) in enumerate(SyntheticDataset(dataset)):
        assert image.shape == (3, 16, 16)  # the model's own size: nothing is scaled
        mean, std = (torch.tensor(values)[:, None, None] for values in (
            (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)))  # fmt: skip
        text = tokenizer([f"a photo of a {CLASSES.names[int(label.argmax())]} garment"], return_tensors="pt")
        with torch.no_grad():
            out = model(pixel_values=((image - mean) / std)[None], **text)
        cosine = float((out.image_embeds * out.text_embeds).sum())
        assert scores[row] == pytest.approx(cosine, abs=1e-5)


def test_a_classifiers_score_is_its_probability_of_the_label_by_name(vit, dataset):
    from transformers import ViTForImageClassification

    filter_dataset(dataset, LabelProbability(vit, device="cpu"), keep=0.5)
    model, scores = ViTForImageClassification.from_pretrained(vit).eval(), Filter.read(dataset, "classifier").score
    for row, (image, label) in enumerate(SyntheticDataset(dataset)):
        with torch.no_grad():
            probabilities = model(pixel_values=(image * 2 - 1)[None]).logits.softmax(dim=1)[0]
        of_class = {model.config.id2label[place]: float(value) for place, value in enumerate(probabilities)}
        assert scores[row] == pytest.approx(of_class[CLASSES.names[int(label.argmax())]], abs=1e-5)


def test_a_soft_label_scores_by_its_weights(clip, dataset, monkeypatch):
    scorer = ClipScore(clip, device="cpu")
    image = SyntheticDataset(dataset, transform=lambda image: image)[0][0]
    alone = scorer.class_scores([image], CLASSES)[0]
    # the record as a method with mixed labels writes it
    from ncm_lib.store.record import Record

    monkeypatch.setattr(Record, "soft_label", lambda self, n: np.float32([0.25, 0, 0.75]))
    filter_dataset(dataset, scorer)
    assert Filter.read(dataset, "clip").score[0] == pytest.approx(0.25 * alone[0] + 0.75 * alone[2], abs=1e-6)


def test_the_lowest_tenth_is_marked_and_nothing_else_changes(clip, dataset):
    before = files(dataset)
    done = filter_dataset(dataset, ClipScore(clip, device="cpu"), keep=0.9)
    marks = Filter.read(dataset, "clip")
    assert (done.count, done.kept, done.scored) == (10, 9, 10)
    assert marks.score[~marks.kept].max() < done.threshold == marks.score[marks.kept].min()
    assert files(dataset) == before
    assert len(SyntheticDataset(dataset, filter="clip")) == 9
    assert len(SyntheticDataset(dataset)) == 10
    assert str(clip.parent) not in done.path.read_text()


def test_per_class_no_class_loses_more_than_its_share(clip, tiny_model, dataset):
    done = filter_dataset(dataset, ClipScore(clip, device="cpu"), keep=0.5, per_class=True, name="half")
    kept = [record.class_ids[0] for record in SyntheticDataset(dataset, filter="half").records]
    assert sorted(np.bincount(kept).tolist()) == [2, 2, 2]  # of 4, 3 and 3
    assert done.threshold is None


def test_another_keep_takes_the_scores_over(clip, dataset):
    scorer, first = ClipScore(clip, device="cpu"), []
    filter_dataset(dataset, scorer, on_progress=lambda done, count: first.append((done, count)), batch_size=4)
    assert first == [(4, 10), (8, 10), (10, 10)]
    again = filter_dataset(dataset, scorer, keep=0.5)
    assert (again.scored, again.kept) == (0, 5)


def test_after_an_extension_only_the_new_images_are_scored(clip, tiny_model, dataset):
    scorer = ClipScore(clip, device="cpu")
    filter_dataset(dataset, scorer)
    make(tiny_model, dataset, 12)
    with pytest.raises(InputError, match="does not know 2 of its 12 samples"):
        SyntheticDataset(dataset, filter="clip")
    assert filter_dataset(dataset, scorer).scored == 2
    assert len(SyntheticDataset(dataset, filter="clip")) == 11


def test_another_prompt_or_model_scores_anew(clip, dataset):
    filter_dataset(dataset, ClipScore(clip, device="cpu"))
    assert filter_dataset(dataset, ClipScore(clip, device="cpu", prompt="{class}")).scored == 10


def test_an_interruption_keeps_the_scores_and_no_one_reads_the_marks(clip, dataset):
    scorer = ClipScore(clip, device="cpu")

    class Interrupted(ClipScore):
        calls = 0

        def class_scores(self, images, classes):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().class_scores(images, classes)

    with pytest.raises(KeyboardInterrupt):
        filter_dataset(dataset, Interrupted(clip, device="cpu"), batch_size=3)
    with pytest.raises(InputError, match="does not know 4 of its 10 samples"):
        SyntheticDataset(dataset, filter="clip")
    assert filter_dataset(dataset, scorer).scored == 4


def test_of_equal_scores_the_first_are_kept_and_at_least_one_is():
    same = np.zeros(4)
    assert highest(same, np.zeros(4, dtype=np.int64), 0.5).tolist() == [True, True, False, False]
    assert highest(same, np.zeros(4, dtype=np.int64), 1e-9).tolist() == [True, False, False, False]
    assert highest(same[:3], np.zeros(3, dtype=np.int64), 0.9).all()


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(clip, dataset, keep):
    with pytest.raises(InputError, match="legal is a share above 0, up to 1"):
        filter_dataset(dataset, ClipScore(clip, device="cpu"), keep=keep)


def test_a_folder_without_a_clip_model_is_refused(vit, tmp_path):
    with pytest.raises(InputError, match=r"no CLIP model at .*config\.json, model\.safetensors"):
        ClipScore(tmp_path)


def test_a_classifier_of_other_classes_is_refused_by_name(vit, tmp_path, dataset):
    other = shutil.copytree(vit, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["id2label"]["2"] = "hat"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="classifier other has no 'bag'; has the unknown 'hat'"):
        filter_dataset(dataset, LabelProbability(other, device="cpu"))
    assert not (dataset / "filters").exists()


def test_weights_that_give_nan_are_an_error_and_no_mark(clip, dataset):
    scorer = ClipScore(clip, device="cpu")
    torch.nn.init.constant_(scorer._network.visual_projection.weight, float("nan"))
    with pytest.raises(InputError, match=r"score of images/000/00000000\.png by tiny-clip is not a finite number"):
        filter_dataset(dataset, scorer)
    assert not (dataset / "filters").exists()


def test_a_prompt_that_clip_cannot_read_whole_is_refused(clip, dataset):
    with pytest.raises(InputError, match=r"more than the \d+ tokens.*--prompt"):
        filter_dataset(dataset, ClipScore(clip, device="cpu", prompt="very " * 40 + "{class}"))
