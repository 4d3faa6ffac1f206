"""A damaged data set, put in order by the command line, and made whole by the command that made it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ncm_lib.cli.main import main

COUNT = 7


def generate(model: Path, out: Path) -> int:
    command = [
        "generate", "noisecutmix", "--model", str(model), "--classes", "sneaker,bag,coat", "--count", str(COUNT),
        "--batch-size", "3", "--num-inference-steps", "2", "--device", "cpu", "--placement", "inside",
    ]  # fmt: skip
    return main([*command, "--out", str(out)])


def contents(path: Path) -> dict[str, bytes]:
    files = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    return {
        name: file.read_bytes()
        for name, file in files.items()
        if name not in ("metadata-0.jsonl", "stats.jsonl") and not name.startswith("damaged/")
    }


@pytest.fixture(scope="module")
def whole(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "set"
    assert generate(tiny_folder, path) == 0
    return path


def test_repair_and_the_same_command_give_back_every_byte(
    whole: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set"
    shutil.copytree(whole, path)
    image = path / "images/000/00000001.png"
    image.write_bytes(image.read_bytes()[:-9])
    (path / "images/000/00000004.png").unlink()
    with Image.open(path / "masks/000/00000005.png") as mask:
        mirrored = mask.transpose(Image.Transpose.ROTATE_180)
    mirrored.save(path / "masks/000/00000005.png")
    (path / "masks/000/00000006.png").unlink()
    (path / "soft_labels.npy").write_bytes(b"\x93NUMPY")
    assert main(["verify", str(path)]) == 1
    capsys.readouterr()

    assert main(["verify", str(path), "--repair"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith(f"{path}: 3 of 7 samples there and sound; the command that generated")
    moved = [line for line in said if "; moved to damaged/" in line]
    for problem in (
        "images/000/00000001.png: is damaged",
        "masks/000/00000005.png: is another mask",
        "images/000/00000005.png: its mask masks/000/00000005.png is damaged",
        "images/000/00000006.png: its mask masks/000/00000006.png is gone",
    ):
        assert [line for line in moved if line.startswith(problem)], said
    assert "records dropped from the logs, because their images are gone: 1 (samples 4)" in said

    assert main(["verify", str(path)]) == 1
    assert "4 of 7 samples missing" in capsys.readouterr().out
    assert generate(tiny_folder, path) == 0
    assert contents(path) == contents(whole)
    assert main(["verify", str(path)]) == 0
    assert main(["verify", str(path), "--repair"]) == 0
    notes = [json.loads(line)["file"] for line in (path / "damaged/notes.jsonl").read_text().splitlines()]
    kept = [file for file in (path / "damaged").rglob("*") if file.is_file() and file.name != "notes.jsonl"]
    assert len(notes) == len(kept) == 5


def test_the_index_of_a_generated_data_set_is_made_from_its_images_alone(
    whole: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set"
    shutil.copytree(whole, path)
    for file in path.iterdir():
        if file.is_file() and file.name != "dataset.json":
            file.unlink()
    assert main(["index", str(path)]) == 0
    assert f"{path}: {COUNT} of {COUNT} images listed" in capsys.readouterr().out
    there = contents(path)
    there.pop("index.parquet", None)
    assert there == contents(whole)
    (path / "images/000/00000003.png").write_bytes(b"")
    assert main(["index", str(path)]) == 1
    assert "images/000/00000003.png is damaged" in capsys.readouterr().out
    assert generate(tiny_folder, path) == 0
    assert main(["verify", str(path)]) == 0


@pytest.mark.parametrize("command", [["verify"], ["verify", "--repair"], ["index"]])
def test_a_folder_that_is_no_data_set_is_bad_input(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], str(tmp_path), *command[1:]]) == 2
    assert "is no data set" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
