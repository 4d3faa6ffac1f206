"""``ncm suffixes`` in process."""

import json
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main
from ncm_lib.plan.suffixes import read_suffixes
from ncm_lib.sources.captions import read_captions

from ...tiny_blip import save_tiny_blip


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-blip"
    save_tiny_blip(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(["robin", "robin", "wren"]):
        file = tmp_path / "photos" / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.fixture
def captions(tmp_path):
    """Captions of five birds."""
    texts = ["a robin flying over water", "a wren flying over the water", "a wren on a branch", "a bird near a robin"]
    lines = [{"caption": text, "class": ["robin", "wren"][number % 2]} for number, text in enumerate([*texts, " "])]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "captions.jsonl"


def command(program):
    return shlex.join([sys.executable, "-c", program])


def test_images_are_captioned_and_counted_and_the_same_command_goes_on(blip, photos, tmp_path, capsys):
    words = ["suffixes", "--data", photos, "--captioner", blip, "--out", tmp_path / "s.txt", "--count", 2]
    assert run(*words) == 0
    shown = capsys.readouterr()
    assert "3/3 images" in shown.err
    found = read_captions(tmp_path / "captions.jsonl")
    assert sorted(caption.class_name for caption in found) == ["robin", "robin", "wren"]
    suffixes = read_suffixes(tmp_path / "s.txt")
    assert 1 <= len(suffixes) <= 2
    assert f"s.txt: {len(suffixes)} suffixes from 3 captions" in shown.out
    assert not any("robin" in suffix for suffix in suffixes)
    assert run(*words) == 0
    assert "images" not in capsys.readouterr().err


def test_captions_are_enough(captions, tmp_path, capsys):
    assert run("suffixes", "--captions", captions, "--out", tmp_path / "new" / "s.txt") == 0
    assert read_suffixes(tmp_path / "new" / "s.txt") == ("flying over the water", "on a branch")
    assert "2 captions  flying over the water\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--count", 1], ["flying over the water"]),
        (["--meta-class", "branch"], ["flying over the water"]),
        (["--classes", "water,wren"], ["near a robin", "on a branch"]),
    ],
)
def test_class_words_are_the_captions_own_or_those_that_are_given(captions, tmp_path, words, expected):
    assert run("suffixes", "--out", tmp_path / "s.txt", *words) == 0
    assert list(read_suffixes(tmp_path / "s.txt")) == expected


def test_without_class_names_the_metaclass_counts(tmp_path):
    (tmp_path / "captions.jsonl").write_text('{"caption": "a red one near a bird"}\n{"caption": "a red one in snow"}\n')
    assert run("suffixes", "--out", tmp_path / "a.txt") == 0
    assert read_suffixes(tmp_path / "a.txt") == ("in snow", "near a bird")
    assert run("suffixes", "--out", tmp_path / "b.txt", "--meta-class", "bird") == 0
    assert read_suffixes(tmp_path / "b.txt") == ("in snow",)


def test_a_program_may_make_the_suffixes(captions, tmp_path):
    program = (
        "import sys; lines = sys.stdin.read().splitlines(); print('in', len(lines)); print('1. at night'); print(3)"
    )
    assert run("suffixes", "--out", tmp_path / "s.txt", "--count", 2, "--llm-command", command(program)) == 0
    assert read_suffixes(tmp_path / "s.txt") == ("in 4", "at night")


def test_a_file_with_other_suffixes_is_left_alone(captions, tmp_path, capsys):
    assert run("suffixes", "--out", tmp_path / "s.txt") == 0
    assert run("suffixes", "--out", tmp_path / "s.txt") == 0
    assert run("suffixes", "--out", tmp_path / "s.txt", "--count", 1) == 2
    assert "holds something else already" in capsys.readouterr().err
    assert len(read_suffixes(tmp_path / "s.txt")) == 2


BAD = [
    (["--captions", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    (["--captioner", "blip"], "--captioner came without --data"),
    (["--data", "photos"], "--data came without --captioner"),
    (["--data", "photos", "--captioner", "./nowhere"], "There is no captioner at './nowhere'"),
    (["--data", "nowhere", "--captioner", "."], "nowhere"),
    (["--count", "0"], "both must be above 0"),
    (["--llm-timeout", "nan"], "both must be above 0"),
    (["--llm-command", "no-such-program"], "no-such-program cannot be started"),
    (["--llm-command", command("import sys; sys.exit(4)")], "failed with exit code 4"),
    (["--captions", "blank.jsonl"], "There are no captions to find suffixes in"),
    (["--captions", "bare.jsonl"], "No caption tells where something is"),
    (["--classes", "nowhere.json"], "There is no class list at 'nowhere.json'"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words)[:40] for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(
    captions, photos, tmp_path, monkeypatch, capsys, words, part
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blank.jsonl").write_text('{"caption": " "}\n')
    (tmp_path / "bare.jsonl").write_text('{"caption": "a robin"}\n')
    assert run("suffixes", "--out", "s.txt", *words) == 2
    shown = capsys.readouterr()
    assert part in " ".join((shown.err + shown.out).split())
    assert "Traceback" not in shown.err + shown.out
    assert not (tmp_path / "s.txt").exists()


def test_help_shows_runnable_examples(capsys):
    assert run("suffixes", "--help") == 0
    assert capsys.readouterr().out.count("ncm suffixes ") >= 3
