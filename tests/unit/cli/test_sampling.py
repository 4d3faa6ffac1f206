"""How many images of which class: the options that read counts and confusions from files."""

import json

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main

CLASSES = "sneaker,bag,coat"


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def generate(tiny_folder, tmp_path):
    """``ncm generate noisecutmix`` into tmp_path/set; the exit code."""

    def call(*words, classes=CLASSES):
        model = ["--model", tiny_folder, "--num-inference-steps", 1, "--classes", classes]
        return run("generate", "noisecutmix", *model, "--out", tmp_path / "set", *words)

    return call


@pytest.fixture
def data(tmp_path):
    """An image folder with 5, 3 and 1 images of the classes."""
    for name, count in zip(CLASSES.split(","), (5, 3, 1), strict=True):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "train" / name / f"{number}.jpg").touch()
    return tmp_path / "train"


def made(tmp_path) -> list[int]:
    """Samples per class A of a whole data set."""
    lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
    leaders = [json.loads(line)["class_ids"][0] for line in lines]
    return np.bincount(leaders, minlength=3).tolist()


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([], [5, 3, 1]),
        (["--multiplier", "0.4"], [2, 1, 0]),
        (["--balance"], [0, 2, 4]),
        (["--balance", "--multiplier", "1"], [5, 7, 9]),
        (["--top-up", "4"], [0, 1, 3]),
    ],
)
def test_real_images_decide_how_many_are_made_of_each_class(generate, data, tmp_path, words, counts):
    assert generate("--data", data, *words) == 0
    assert made(tmp_path) == counts
    head = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert (head["count"], head["config"]["class_counts"]) == (sum(counts), counts)


def test_images_that_a_table_lists_are_counted_too(generate, data, tmp_path):
    listed = tmp_path / "listed"
    listed.mkdir()
    rows = []
    for number, file in enumerate(sorted(data.rglob("*.jpg"))):
        shade = 20 * number
        Image.new("RGB", (4, 4), (shade, 9, 9)).save(listed / f"{number}.png")
        rows.append(f"{number}.png,{file.parent.name}")
    (listed / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
    assert generate("--data", listed) == 0
    assert made(tmp_path) == [5, 3, 1]


def test_count_goes_beyond_the_sum_in_further_rounds(generate, tmp_path):
    (tmp_path / "counts.csv").write_text("class,images\nbag,1\ncoat,0\nsneaker,2\n")
    assert generate("--data", tmp_path / "counts.csv", "--count", 6) == 0
    assert made(tmp_path) == [4, 2, 0]


def test_class_counts_can_be_given_as_they_are(generate, tmp_path):
    assert generate("--class-counts", 0, 2, 1) == 0
    assert made(tmp_path) == [0, 2, 1]


def test_a_confusion_matrix_decides_on_class_b(generate, tmp_path):
    (tmp_path / "confusion.csv").write_text(",bag,coat,sneaker\nsneaker,0,3,9\ncoat,0,9,1\nbag,4,0,2\n")
    assert generate("--count", 6, "--pair-policy", "confusion", "--confusion", tmp_path / "confusion.csv") == 0
    lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
    pairs = {tuple(json.loads(line)["class_ids"]) for line in lines}
    assert pairs == {(0, 2), (1, 0), (2, 0)}
    # the same matrix with its rows and columns in another order is the same plan
    (tmp_path / "confusion.json").write_text(
        json.dumps({"classes": ["coat", "bag", "sneaker"], "matrix": [[9, 0, 1], [0, 4, 2], [3, 0, 9]]})
    )
    assert generate("--count", 6, "--pair-policy", "confusion", "--confusion", tmp_path / "confusion.json") == 0


BAD = [
    ([], "Give --count N, or --data PATH"),
    (["--multiplier", "2"], "--multiplier came without --data; give --data PATH"),
    (["--balance", "--top-up", "3"], "--balance and --top-up came without --data"),
    (["--data", "nowhere"], "'nowhere', which is not there; legal: an image folder"),
    (["--data", "train", "--class-a", "bag"], "--data and --class-a both say how often a class is made"),
    (["--data", "train", "--class-counts", "1", "2", "3"], "--data and --class-counts both say how often"),
    (["--data", "train", "--multiplier", "-1"], "The multiplier is -1.0; take a number from 0"),
    (["--data", "train", "--top-up", "1"], "Nothing is left to be made: the 3 classes have 1 to 5 real images"),
    (["--count", "2", "--class-counts", "1", "2"], "2 class_counts came for 3 classes"),
    (["--count", "2", "--class-counts", "1", "2", "-1"], "class"),
    (["--count", "2", "--pair-policy", "confusion"], "no confusion matrix came"),
    (["--count", "2", "--confusion", "confusion.csv"], "does not read it; take pair_policy 'confusion'"),
    (["--count", "2", "--pair-policy", "confusion", "--confusion", "missing.csv"], "missing.csv cannot be read"),
    (["--count", "2", "--pair-policy", "sometimes"], "sometimes"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(
    generate, data, tmp_path, monkeypatch, capsys, words, part
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "confusion.csv").write_text(",sneaker,bag,coat\nsneaker,1,1,1\nbag,1,1,1\ncoat,1,1,1\n")
    assert generate(*words) == 2
    shown = capsys.readouterr()
    assert part in " ".join((shown.err + shown.out).split())
    assert "Traceback" not in shown.err + shown.out
    assert not (tmp_path / "set").exists()


def test_classes_that_the_data_does_not_have_are_named(generate, data, tmp_path, capsys):
    assert generate("--data", data, classes="sneaker,bag,shirt") == 2
    text = capsys.readouterr().err
    assert "has no 'shirt'; has the unknown 'coat'. It needs each of the 3 classes once" in text
    assert f"To make the classes of {data}, take --classes {data}." in text
