"""What --dry-run says, and that it leaves everything as it was."""

import io
import re
import sys

import pytest
import torch

from ncm_lib import ClassList, NoiseCutMix
from ncm_lib.cli.main import main
from ncm_lib.engine.render import Renderer

CLASSES = ("sneaker", "bag", "coat")


@pytest.fixture
def generate(tiny_folder, tmp_path, capsys):
    """``ncm generate noisecutmix`` into tmp_path/set: exit code, standard output, standard error."""

    def call(*words, count=5):
        model = ["--model", tiny_folder, "--num-inference-steps", 2, "--classes", ",".join(CLASSES)]
        data_set = ["--out", tmp_path / "set", "--count", count, "--batch-size", 2]
        capsys.readouterr()
        code = main(["generate", "noisecutmix", *map(str, [*model, *data_set, *words])])
        return code, *capsys.readouterr()

    return call


def everything(folder):
    """Every file below the folder, with its content and its time."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file()}


def lines_of(text: str, name: str) -> str:
    """The rest of the line that begins with ``name``."""
    found = re.search(rf"^{name}\s+(.*)$", text, re.MULTILINE)
    assert found, text
    return found[1]


def test_it_tells_the_plan_and_writes_nothing(generate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text, _ = generate("--dry-run", "--seed", 4, count=7)
    assert code == 0
    assert list(tmp_path.iterdir()) == []
    method = NoiseCutMix(classes=ClassList.of(CLASSES), latent_height=8, latent_width=8, latent_cell=2, seed=4)
    assert lines_of(text, "data set").endswith("set: new")
    assert lines_of(text, "samples") == f"7 of noisecutmix, seed 4, plan {method.plan_hash()[:12]}"
    assert lines_of(text, "classes") == "3"
    assert lines_of(text, "class A") == "2 to 3 samples per class, median 2"
    table = method.plan(0, 7)
    mean = table.weights[:, 0].mean()
    assert lines_of(text, "weight of A").startswith(f"mean {mean:.3f}, quantiles ")
    shares = [float(share) for share in re.findall(r"\d\.\d to \d\.\d +([\d.]+)%", text)]
    assert len(shares) == 10
    assert abs(sum(shares) - 100) < 1
    for row, sample in enumerate(table[row] for row in range(5)):
        label = " + ".join(f"{share.weight:.3f} {CLASSES[share.class_id]}" for share in sample.label)
        assert lines_of(text, f"  {row} ") == label
    assert "\n  5 " not in text


def test_the_masks_of_the_first_samples_are_drawn(generate):
    _, text, _ = generate("--dry-run", "--placement", "inside", "--alpha", 3)
    drawn = [re.findall(r"[#.]{14}", line) for line in text.splitlines()]
    grid = [masks for masks in drawn if len(masks) == 5]
    assert len(grid) == 7
    weights = NoiseCutMix(
        classes=ClassList.of(CLASSES), latent_height=8, latent_width=8, placement="inside", alpha=3
    ).plan(0, 5).weights[:, 0]  # fmt: skip
    for position, weight in enumerate(weights):
        picture = "".join(masks[position] for masks in grid)
        assert abs(picture.count("#") / len(picture) - weight) < 0.15


def test_it_tells_the_cost(generate):
    _, text, error = generate("--dry-run", "--guidance-scale", 1, count=1000)
    assert "trying one batch" in error
    computation = lines_of(text, "computation")
    image, calls, rows, row, decoding = re.fullmatch(
        r"([\d.]+) MFLOP per image: (\d+) x (\d) rows of ([\d.]+) MFLOP, decoding ([\d.]+) MFLOP", computation
    ).groups()
    assert (calls, rows) == ("2", "2")
    assert float(image) == pytest.approx(4 * float(row) + float(decoding), rel=0.02)
    assert re.fullmatch(r"[\d.]+ s per image, .+ for 1000; on cpu in float32, in batches of 2", lines_of(text, "time"))
    assert re.fullmatch(r"[\d.]+ k?B per image, [\d.]+ [kM]B for 1000; [\d.]+ [MGT]B are free", lines_of(text, "disk"))
    assert "estimated from one batch of two steps" in text


def test_a_data_set_that_is_there_is_looked_at_and_left_alone(generate, tmp_path):
    assert generate()[0] == 0
    before = everything(tmp_path)
    code, text, _ = generate("--dry-run", count=9)
    assert code == 0
    assert lines_of(text, "data set").endswith("5 samples there, 4 missing")
    assert " for 4; on cpu" in lines_of(text, "time")
    code, text, error = generate("--dry-run")
    assert code == 0
    assert lines_of(text, "data set").endswith("5 samples there, 0 missing")
    assert "computation" not in text
    assert error == ""
    assert everything(tmp_path) == before


def test_a_shard_is_told_its_own_part(generate):
    _, text, _ = generate("--dry-run", "--shard", "1/2", count=5)
    assert lines_of(text, "shard") == "1/2: 2 of the missing samples are its own"
    assert " for 2; on cpu" in lines_of(text, "time")


def another_plan(folder, generate):
    assert generate()[0] == 0
    return ["--pair-policy", "balanced", "--alpha", "2"], 5


def another_step_count(folder, generate):
    assert generate()[0] == 0
    return ["--num-inference-steps", "3"], 5


def a_smaller_count(folder, generate):
    assert generate()[0] == 0
    return [], 4


def a_torn_head(folder, generate):
    folder.mkdir()
    (folder / "dataset.json").write_text('{"format": "ncm-1", ')
    return [], 5


def foreign_files(folder, generate):
    folder.mkdir()
    for name in ("photo.jpg", ".hidden", ".DS_Store"):
        (folder / name).touch()
    return [], 5


def a_long_prompt(folder, generate):
    return ["--prompt", "a {class} " * 50], 5


@pytest.mark.parametrize(
    "case", [another_plan, another_step_count, a_smaller_count, a_torn_head, foreign_files, a_long_prompt]
)
def test_it_refuses_what_the_run_refuses_in_the_same_words(generate, tmp_path, case):
    words, count = case(tmp_path / "set", generate)
    before = everything(tmp_path)
    dry = generate(*words, "--dry-run", count=count)
    assert everything(tmp_path) == before
    assert dry == generate(*words, count=count)
    assert dry[0] == 2


def test_a_file_in_the_place_of_the_data_set_is_refused(generate, tmp_path):
    (tmp_path / "set").write_text("mine")
    code, _, error = generate("--dry-run")
    assert (code, (tmp_path / "set").read_text()) == (2, "mine")
    assert "a file stands where a folder is needed" in error


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", ".ncm-0.lock", ".dataset.json.0.tmp"])
def test_what_systems_and_killed_runs_leave_is_no_data_set(generate, tmp_path, name):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).touch()
    assert generate("--dry-run")[0] == 0
    assert [file.name for file in (tmp_path / "set").iterdir()] == [name]


def test_a_batch_that_does_not_fit_is_told(generate, monkeypatch):
    original = Renderer.latents

    def latents(self, samples, on_step=None):
        if len(samples) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(self, samples, on_step)

    monkeypatch.setattr(Renderer, "latents", latents)
    code, text, _ = generate("--dry-run")
    assert code == 0
    assert lines_of(text, "time").endswith("in batches of 1")
    assert "batches of 2 do not fit into memory; the run will halve them, too" in text


def test_images_that_came_out_black_give_no_size(generate, monkeypatch):
    monkeypatch.setattr(Renderer, "images", lambda _, latents: [None] * len(latents))
    assert "unknown: the images that were tried are NaN or of one colour" in generate("--dry-run")[1]


def test_a_disk_that_is_too_small_is_told(generate, monkeypatch):
    import shutil

    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1000))
    assert lines_of(generate("--dry-run", count=1000)[1], "disk").endswith("1 kB are free: TOO FEW")


def test_a_name_that_the_terminal_has_no_letters_for_is_no_failure(tiny_folder, tmp_path, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    words = ["--model", tiny_folder, "--classes", "größe,猫", "--num-inference-steps", 1, "--count", 1, "--dry-run"]
    assert main([str(word) for word in ("generate", "noisecutmix", *words, "--out", tmp_path / "set")]) == 0
    sys.stdout.flush()
    assert b"gr??e" in written.getvalue() or b"gr?" in written.getvalue()
