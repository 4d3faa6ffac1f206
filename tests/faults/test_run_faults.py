"""Runs that meet trouble on the way: memory, bad images, signals, and several processes at once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, generate, load_model
from ncm_lib.engine.attempts import RETRIES, Attempt
from ncm_lib.engine.shards import Shard

CLASSES = ClassList.of(["sneaker", "bag", "coat"])
SETTINGS = RenderSettings(num_inference_steps=2, guidance_scale=3.0)


def make(model, out, count=8, batch_size=4, **options):
    method = NoiseCutMix(classes=CLASSES, placement="inside")
    return generate(method, model, out=out, count=count, batch_size=batch_size, settings=SETTINGS, **options)


def records(folder):
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    return {record["index"]: record for record in map(json.loads, lines)}


def images(folder):
    return {file.name: file.read_bytes() for file in folder.glob("images/*/*.png")}


def stats(folder):
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


@pytest.fixture
def model(tiny_folder):
    """A model of the test's own, to break."""
    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "set"
    make(tiny_model, folder)
    return folder


def limit_rows(model, rows):
    """Make the model's own UNet call fail as an allocator does where it gets more rows than fit."""

    def hook(module, args, kwargs):
        if len(args[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    return model.family.unet.register_forward_pre_hook(hook, with_kwargs=True)


def test_out_of_memory_halves_the_batch_and_keeps_plan_and_labels(model, whole, tmp_path):
    limit_rows(model, 3 * 2)
    summary = make(model, tmp_path / "set")
    assert (summary.made, summary.failed) == (8, 0)
    assert any("memory ran out: from sample 0 on the batches were of 2" in note for note in summary.notes)
    (line,) = stats(tmp_path / "set")
    assert line["batch_changes"] == [{"from_index": 0, "batch_shape": 2}]
    for index, record in records(tmp_path / "set").items():
        expected = records(whole)[index]
        assert {key: record[key] for key in record if key != "bytes"} == {
            key: expected[key] for key in expected if key != "bytes"
        }


def test_memory_that_runs_out_twice_halves_twice(model, tmp_path):
    limit_rows(model, 3)
    make(model, tmp_path / "set")
    assert [change["batch_shape"] for change in stats(tmp_path / "set")[0]["batch_changes"]] == [2, 1]
    assert len(images(tmp_path / "set")) == 8


def test_a_lone_sample_that_does_not_fit_stops_with_its_size(model, tmp_path):
    limit_rows(model, 2)
    with pytest.raises(InputError, match=r"A single sample of 16 x 16 pixels in float32 does not fit .* smaller"):
        make(model, tmp_path / "set")
    assert stats(tmp_path / "set")[0]["ended"] == "InputError"


def test_another_runtime_error_is_not_taken_for_memory(model, tmp_path):
    def hook(module, args, kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model.family.unet.register_forward_pre_hook(hook, with_kwargs=True)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make(model, tmp_path / "set")


class Spoiler:
    """Makes the UNet's prediction NaN for chosen start noise: the model's own fault, seen through a real run."""

    def __init__(self, model, seeds):
        from ncm_lib.maths.rng import sample_noise

        self.noises = [sample_noise(seed, (4, 8, 8)) for seed in seeds]
        model.family.unet.register_forward_hook(self.hook, with_kwargs=True)

    def hook(self, module, args, kwargs, output):
        rows = args[0]
        value = output[0] if isinstance(output, tuple) else output.sample
        for position, row in enumerate(rows):
            direction = row / row.norm()
            if any(float((direction * (noise / noise.norm())).sum()) > 0.999 for noise in self.noises):
                value[position] = float("nan")
        return output


def plan_of(out_seed=0):
    return NoiseCutMix(
        classes=CLASSES, placement="inside", latent_height=8, latent_width=8, latent_cell=2, seed=out_seed
    )


def test_a_nan_image_is_made_again_with_a_sub_seed_that_is_recorded(model, whole, tmp_path):
    first = Attempt(planned=plan_of().plan_one(2))
    Spoiler(model, [first.seed])
    summary = make(model, tmp_path / "set")
    assert (summary.made, summary.failed) == (8, 0)
    assert records(tmp_path / "set")[2]["seed"] == first.next().seed != first.seed
    failures = [json.loads(line) for line in (tmp_path / "set/failures.jsonl").read_text().splitlines()]
    assert [failure["index"] for failure in failures] == [2]
    assert first.seeds + first.next().seeds[1:] in failures[0].values()
    others, expected = images(tmp_path / "set"), images(whole)
    assert {name for name in expected if others[name] != expected[name]} == {"00000002.png"}
    assert records(tmp_path / "set")[2]["weights"] == records(whole)[2]["weights"]


def test_an_image_that_stays_nan_is_failed_after_bounded_retries_and_never_kept(model, tmp_path):
    attempt = Attempt(planned=plan_of().plan_one(5))
    seeds = [attempt.seed]
    while (attempt := attempt.next()) is not None:
        seeds.append(attempt.seed)
    assert len(seeds) == RETRIES + 1
    Spoiler(model, seeds)
    summary = make(model, tmp_path / "set")
    assert (summary.made, summary.failed) == (7, 1)
    assert 5 not in records(tmp_path / "set")
    assert not (tmp_path / "set/images/000/00000005.png").exists()
    assert stats(tmp_path / "set")[0]["retried"] == RETRIES
    assert np.isnan(np.load(tmp_path / "set/soft_labels.npy")[5]).all()


def test_a_failed_sample_is_tried_again_by_the_next_run(model, tiny_model, whole, tmp_path):
    attempt = Attempt(planned=plan_of().plan_one(5))
    seeds = [attempt.seed]
    while (attempt := attempt.next()) is not None:
        seeds.append(attempt.seed)
    Spoiler(model, seeds)
    make(model, tmp_path / "set")
    assert make(tiny_model, tmp_path / "set").made == 1
    assert images(tmp_path / "set") == images(whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_keeps_finished_samples_and_the_same_command_goes_on(tiny_folder, tmp_path, number, code):
    command = [
        sys.executable, "-m", "ncm_lib.cli.main", "generate", "noisecutmix", "--model", str(tiny_folder), "--classes",
        "sneaker,bag,coat", "--out", str(tmp_path / "set"), "--count", "40", "--batch-size", "2",
        "--num-inference-steps", "4", "--device", "cpu",
    ]  # fmt: skip
    run = [sys.executable, "-c", "import sys; from ncm_lib.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    child = subprocess.Popen([*run, *command[3:]], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    log = tmp_path / "set/metadata-0.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 4):
        assert time.monotonic() < deadline
        assert child.poll() is None
        threading.Event().wait(0.005)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == code
    assert "the same command continues" in errors
    assert "images made by this run" in errors
    done = len(records(tmp_path / "set"))
    assert 4 <= done < 40
    assert stats(tmp_path / "set")[0]["ended"] == "interrupted"
    assert subprocess.run([*run, *command[3:]], check=False, capture_output=True).returncode == 0
    assert len(records(tmp_path / "set")) == 40
    assert stats(tmp_path / "set")[1]["made"] == 40 - done


def test_two_shards_in_two_processes_make_what_one_makes(tiny_folder, whole, tmp_path):
    code = "import sys; from ncm_lib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    options = "--classes sneaker,bag,coat --count 8 --batch-size 2 --placement inside --num-inference-steps 2"
    command = [
        "generate",
        "noisecutmix",
        "--model",
        str(tiny_folder),
        "--out",
        str(tmp_path / "set"),
        "--device",
        "cpu",
    ]
    command += [*options.split(), "--guidance-scale", "3"]
    folder = tmp_path / "set"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, *command],
            env=os.environ | {"RANK": str(rank), "WORLD_SIZE": "2"}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert "shard 1/2: 4 of 8 samples are its own" in outputs[1]
    single = tmp_path / "single"
    make(load_model(tiny_folder, device="cpu"), single, batch_size=2)
    assert records(folder) == records(single)
    assert images(folder) == images(single)
    assert np.array_equal(np.load(folder / "soft_labels.npy"), np.load(single / "soft_labels.npy"))


def test_shards_one_after_the_other_share_no_seed_and_complete_each_other(tiny_model, whole, tmp_path):
    folder = tmp_path / "set"
    made = [make(tiny_model, folder, shard=Shard(index=index, count=2)).made for index in range(2)]
    assert made == [4, 4]
    assert len({record["seed"] for record in records(folder).values()}) == 8
    assert images(folder) == images(whole)


def test_a_second_process_of_the_same_shard_is_refused(tiny_model, tmp_path):
    from ncm_lib.store.manifest import Manifest
    from ncm_lib.store.writer import DatasetWriter

    make(tiny_model, tmp_path / "set", count=4, shard=Shard(index=1, count=2))
    with (
        DatasetWriter(tmp_path / "set", Manifest.read(tmp_path / "set"), rank=1),
        pytest.raises(InputError, match=f"process {os.getpid()} on host"),
    ):
        make(tiny_model, tmp_path / "set", count=4, shard=Shard(index=1, count=2))
