"""Two processes that share every batch learn what one learns."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ncm_lib import ConceptTraining, train_concepts

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from ncm_lib.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="gloo between processes")
def test_two_processes_end_where_one_does(tiny_folder, tiny_model, pictures, picture_folder, tmp_path):
    config = ConceptTraining(steps=3, batch_size=4, rank=2, learning_rate=1e-3, embedding_learning_rate=1e-2)
    train_concepts(tiny_model, pictures, out=tmp_path / "one", config=config)
    (tmp_path / "ncm.py").write_text(PROGRAM)
    options = [
        "--steps", "3", "--batch-size", "4", "--rank", "2", "--learning-rate", "1e-3",
        "--embedding-learning-rate", "1e-2", "--device", "cpu",
    ]  # fmt: skip
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_ip", "127.0.0.1",
        "--main_process_port", "0", str(tmp_path / "ncm.py"),
        "train-concepts", "--model", str(tiny_folder), "--data", str(picture_folder), "--out", str(tmp_path / "two"),
        *options,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # the name of the machine need not lead anywhere
    run = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        stdout, stderr = run.communicate(timeout=300)
    finally:
        if run.poll() is None:  # processes that wait for each other for ever
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, stderr
    # the first process alone tells
    assert stdout.count("3 classes, 3 steps (3 of them now,") == 1
    one, two = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        # sums in another order; where a gradient is all rounding, Adam makes a step of it
        assert (one[name] - two[name]).abs().mean() < 2e-5, name
