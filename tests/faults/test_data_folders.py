"""Folders of real images as they come, into every command that reads them: worked through, or refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main

ROBINS, WRENS = ("robin/1.png", "robin/2.png", "robin/3.png"), ("wren/1.png", "wren/2.png")
CLASSIFIER = ("--model", "resnet-32px", "--resolution", "16", "--epochs", "1", "--batch-size", "4", "--device", "cpu")
STEPS = ("--num-inference-steps", "4")
COMMANDS: dict[str, Callable[[Path, Path], list[str | Path]]] = {
    "train-classifier": lambda _, out: ["train-classifier", *CLASSIFIER, "--out", out],
    "train-concepts": lambda model, out: [
        "train-concepts", "--model", model, "--out", out, "--steps", "1", "--batch-size", "2", "--rank", "2",
    ],
    "invert": lambda model, out: ["invert", "--model", model, "--out", out, "--steps", "1", "--no-measure"],
    "diff-mix": lambda model, out: ["generate", "diff-mix", "--model", model, "--out", out, *STEPS],
    "da-fusion": lambda model, out: ["generate", "da-fusion", "--model", model, "--out", out, *STEPS],
    "noisecutmix": lambda model, out: [
        "generate", "noisecutmix", "--model", model, "--out", out, *STEPS, "--classes", out.with_name("birds"),
    ],
}  # fmt: skip


def write(root: Path, *names: str) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / name)
    return root


def no_class(root: Path) -> None:
    write(root, "1.png", "2.png")


def one_class(root: Path) -> None:
    write(root, *ROBINS)


def an_empty_class(root: Path) -> None:
    write(root, *ROBINS, *WRENS)
    (root / "owl").mkdir()


def one_image_per_class(root: Path) -> None:
    write(root, "robin/1.png", "wren/1.png")


def nested_and_hidden(root: Path) -> None:
    write(root, *ROBINS, *WRENS, "robin/juvenile/nest/4.png", ".cache/1.png", "wren/.3.png", "wren/.ipynb/1.png")


def a_circle_of_links(root: Path) -> None:
    write(root, *ROBINS, *WRENS)
    (root / "robin" / "again").symlink_to(root, target_is_directory=True)
    (root / "wren" / "self").symlink_to(root / "wren", target_is_directory=True)


def an_unreadable_file(root: Path) -> None:
    write(root, *ROBINS, *WRENS)
    (root / "wren" / "3.png").symlink_to(root / "nowhere.png")


# what comes of it where it is not worked through: command -> part of the refusal
FOLDERS: dict[Callable[[Path], None], dict[str, str]] = {
    no_class: dict.fromkeys(COMMANDS, "holds no classes, and 2 images that nothing labels")
    | {"noisecutmix": "has no sub-folders, so it holds no classes"},
    one_class: {
        "train-classifier": "tell 1 class apart",
        "diff-mix": "the class list has 1; give at least 2",
        "noisecutmix": "at least 2 classes",
    },
    an_empty_class: {
        "train-concepts": "1 of 3 classes have no images: 'owl'",
        "diff-mix": "1 of 3 classes have no source image",
    },
    one_image_per_class: {"train-classifier": "No class has two images"},
    nested_and_hidden: {},
    a_circle_of_links: {},
    an_unreadable_file: {
        command: "birds/wren/3.png is not there. Save them again as JPEG or PNG or delete them"
        for command in COMMANDS
        if command != "noisecutmix"  # it counts images and opens none
    },
}


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", FOLDERS, ids=lambda make: make.__name__)
def test_every_folder_is_worked_through_or_refused_in_one_line(make, command, tiny_folder, tmp_path, capsys):
    data = tmp_path / "birds"
    data.mkdir()
    make(data)
    words = [*COMMANDS[command](tiny_folder, tmp_path / "out"), "--data", data]
    code = main(list(map(str, words)))
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    refusals = [line for line in shown.err.splitlines() if line.startswith("ncm: ")]
    part = FOLDERS[make].get(command)
    assert (code, len(refusals)) == ((0, 0) if part is None else (2, 1)), shown.err
    assert part is None or part in refusals[0]
