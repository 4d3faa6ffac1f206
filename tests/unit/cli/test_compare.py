"""``ncm compare`` in process."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main

PLAN = """
shots = [1, 2]
seeds = [0]
baseline = "original"
data = {{ train = "train", test = "test" }}
classifier = {{ model = "resnet-32px", resolution = 16, epochs = 1, batch_size = 4, validation = {validation} }}
[[rows]]
name = "original"
"""


@pytest.fixture
def plan(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("robin", "wren"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")

    def write(validation):
        (tmp_path / "plan.toml").write_text(PLAN.format(validation=validation))
        return tmp_path / "plan.toml"

    return write


def test_a_comparison_says_how_many_cells_have_a_number_and_where_to_look(plan, tmp_path, capsys):
    assert main(["compare", str(plan(0.5)), "--out", str(tmp_path / "out"), "--only", "original/2/0"]) == 0
    shown = capsys.readouterr()
    assert "out: 1 of 2 cells have a number" in shown.out
    assert "report.html" in shown.out
    assert "1/1 tasks" in shown.err
    report = (tmp_path / "out" / "report.md").read_text()
    assert "## 1 real image per class" in report
    assert "## 2 real images per class" in report


def test_a_failed_cell_is_named_and_the_exit_code_tells(plan, tmp_path, capsys):
    # of one image per class none can be held back for validation
    assert main(["compare", str(plan(0.5)), "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert "1 of 2 cells have a number" in shown.out
    assert "failed: original/1/0: classifier: InputError: " in shown.err


def test_a_wrong_plan_is_one_line(plan, tmp_path, capsys):
    assert main(["compare", str(plan('"half"')), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert "validation is 'half'" in error
    assert "\n" not in error
