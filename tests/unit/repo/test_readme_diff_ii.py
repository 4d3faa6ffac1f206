"""The README's three commands of Diff-II run as they stand there, but for the captioner, which would be downloaded."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncm_lib import SyntheticDataset, verify
from ncm_lib.cli.main import main

from ...tiny_blip import save_tiny_blip

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
CAPTIONER = "Salesforce/blip-image-captioning-base"


@pytest.mark.slow
def test_the_commands_of_diff_ii_work_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny_blip(tmp_path / "blip")
    for number, name in enumerate(["robin", "robin", "wren"]):
        file = tmp_path / "photos" / name / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(file)
    (block,) = re.findall(r"^```bash\n(ncm invert .*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block.count(CAPTIONER) == 1
    for line in block.replace(CAPTIONER, "blip").splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    assert len(SyntheticDataset(tmp_path / "between")) == 15
    assert verify(tmp_path / "between").findings == ()
