"""``ncm generate`` by the baselines, and ``ncm filter``, on the command line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ncm_lib import SyntheticDataset, load_source, verify
from ncm_lib.cli.main import main

COUNTS = {"bag": 3, "coat": 1, "sneaker": 2}


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of real images."""
    folder, random = tmp_path_factory.mktemp("real") / "train", np.random.default_rng(0)
    for name, count in COUNTS.items():
        for number in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            picture = random.integers(0, 255, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def generate(tiny_folder, tmp_path):
    """``ncm generate METHOD`` into tmp_path/set; the exit code."""

    def call(method, *words):
        model = ["--model", tiny_folder, "--num-inference-steps", 4, "--guidance-scale", 1, "--device", "cpu"]
        return run("generate", method, *model, "--out", tmp_path / "set", *words)

    return call


def records(tmp_path):
    return [json.loads(line) for line in (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", ["real-guidance", "da-fusion", "diff-aug", "diff-mix", "real-mix"])
def test_real_images_give_classes_counts_and_starts(generate, data, tmp_path, method):
    assert generate(method, "--data", data, "--meta-class", "garment") == 0
    made, images = records(tmp_path), load_source(data)
    assert len(made) == 6
    assert {record["method"] for record in made} == {method}
    # the last class of a label is that of the prompt
    assert np.bincount([record["class_ids"][-1] for record in made]).tolist() == list(COUNTS.values())
    assert {record["source"] for record in made} <= {image.content_hash for image in images}
    head = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert (head["classes"], head["meta_class"]) == (list(COUNTS), "garment")
    assert verify(tmp_path / "set").ok


def test_a_class_list_of_another_order_numbers_the_classes(generate, data, tmp_path):
    assert generate("diff-aug", "--data", data, "--classes", "sneaker,coat,bag", "--strengths", 0.25) == 0
    assert np.bincount([record["class_ids"][0] for record in records(tmp_path)]).tolist() == [2, 1, 3]
    assert {record["strength"] for record in records(tmp_path)} == {0.25}


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (["--balance"], [0, 2, 1]),
        (["--top-up", 2], [0, 1, 0]),
        (["--multiplier", 2], [6, 2, 4]),
        (["--class-counts", 1, 0, 1], [1, 0, 1]),
        (["--count", 5, "--class-counts", 0, 1, 0], [0, 5, 0]),
    ],
)
def test_counts_by_other_rules(generate, data, tmp_path, words, counts):
    assert generate("real-guidance", "--data", data, *words) == 0
    assert np.bincount([record["class_ids"][0] for record in records(tmp_path)], minlength=3).tolist() == counts


def test_a_confusion_matrix_says_which_class_an_image_is_of(generate, data, tmp_path):
    (tmp_path / "c.csv").write_text("class,bag,coat,sneaker\nbag,9,1,0\ncoat,0,9,1\nsneaker,1,0,9\n")
    words = ["--pair-policy", "confusion", "--confusion", tmp_path / "c.csv"]
    assert generate("diff-mix", "--data", data, *words) == 0
    assert {tuple(record["class_ids"]) for record in records(tmp_path)} <= {(1, 0), (2, 1), (0, 2)}


def test_a_dry_run_says_from_what_and_how_far(generate, data, tmp_path, capsys):
    assert generate("diff-mix", "--data", data, "--dry-run", "--count", 300) == 0
    told = capsys.readouterr().out
    assert "6 real images, at the strengths 0.5 (" in told
    assert "image of" in told
    assert "made into" in told
    assert "encoding" in told
    assert not (tmp_path / "set").exists()


def test_a_run_that_was_cut_short_goes_on(generate, data, tmp_path, capsys):
    assert generate("da-fusion", "--data", data) == 0
    (tmp_path / "set/images/000/00000003.png").unlink()
    assert generate("da-fusion", "--data", data) == 0
    assert "1 image made, 5 there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["real-guidance"], "--data"),
        (["real-guidance", "--data", "nowhere"], "nowhere"),
        (["real-guidance", "--data", "DATA", "--classes", "bag,coat,sneaker,hat"], "has no 'hat'"),
        (["diff-mix", "--data", "DATA", "--strengths", "0"], "strengths"),
        (["diff-mix", "--data", "DATA", "--strengths", "1.5"], "strengths"),
        (["diff-mix", "--data", "DATA", "--strengths", "0.2"], "leaves none of 4 steps"),
        (["diff-aug", "--data", "DATA", "--balance", "--class-counts", "1", "1", "1"], "--balance and --class-counts"),
        (["diff-mix", "--data", "DATA", "--pair-policy", "confusion"], "no confusion matrix"),
        (["sd-random"], "How many images"),
        (["real-filter", "--count", "2"], "--clip-model"),
        (["real-filter", "--count", "2", "--clip-model", "nowhere", "--classes", "a,b"], "no CLIP model at 'nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_refused(generate, data, tmp_path, capsys, words, says):
    method, *rest = [str(data) if word == "DATA" else word for word in words]
    extra = [] if method != "sd-random" else ["--classes", "a,b"]
    assert generate(method, *rest, *extra) == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "set").exists()


def test_a_class_without_images_is_made_by_nobody_or_refused_by_name(generate, data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "train")
    (tmp_path / "train" / "hat").mkdir()
    for method, words in (("diff-mix", []), ("diff-aug", ["--balance"])):
        assert generate(method, "--data", tmp_path / "train", *words) == 2
        assert f"1 of 4 classes have no source image ('hat'), and {method} starts" in capsys.readouterr().err
    assert generate("diff-aug", "--data", tmp_path / "train") == 0
    assert np.bincount([record["class_ids"][0] for record in records(tmp_path)], minlength=4).tolist() == [3, 1, 0, 2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A CLIP model of the real class with random weights."""
    from ...tiny_clip import save_tiny_clip

    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


def test_real_filter_makes_sd_randoms_images_and_marks_the_worst(generate, clip, tmp_path, capsys):
    words = ["--classes", "a,b", "--count", 10, "--clip-model", clip, "--keep", 0.8]
    assert generate("real-filter", *words) == 0
    assert "8 of 10 images kept, 10 scored now" in capsys.readouterr().out
    assert len(SyntheticDataset(tmp_path / "set", filter="clip")) == 8
    assert generate("real-filter", *words) == 0
    assert "8 of 10 images kept, 0 scored now" in capsys.readouterr().out


def test_a_shard_of_real_filter_leaves_the_filter_to_the_last(generate, clip, tmp_path, capsys):
    words = ["--classes", "a,b", "--count", 4, "--batch-size", 2, "--clip-model", clip]
    assert generate("real-filter", *words, "--shard", "0/2") == 0
    assert "2 of 4 images are there; the filter comes when all are" in capsys.readouterr().err
    assert generate("real-filter", *words, "--shard", "1/2") == 0
    assert (tmp_path / "set/filters/clip.jsonl").is_file()


def test_a_filter_of_a_data_set_that_is_there(generate, clip, tmp_path, capsys):
    assert generate("sd-random", "--classes", "a,b", "--count", 5, "--class-policy", "random") == 0
    assert run("filter", tmp_path / "set", "--by", "clip", "--clip-model", clip, "--keep", 0.6, "--name", "sixty") == 0
    assert run("export", tmp_path / "set", "--to", "imagefolder-hard-labels", "--filter", "sixty",
               "--out", tmp_path / "out") == 0  # fmt: skip
    told = capsys.readouterr()
    assert "3 of 5 images kept" in told.out
    assert "2 of 5 samples left out by the filter 'sixty'" in told.err
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--by", "clip"], "--by clip takes the folder of its model by --clip-model, and no other one"),
        (["--by", "classifier", "--clip-model", "x"], "by --classifier, and no other one"),
        (["--by", "clip", "--clip-model", "x", "--keep", "0"], "--keep is 0.0; legal is a share above 0"),
        (["--by", "clip", "--clip-model", "nowhere"], "There is no CLIP model at 'nowhere'"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(tmp_path, capsys, words, says):
    assert run("filter", tmp_path, *words) == 2
    assert says in capsys.readouterr().err
