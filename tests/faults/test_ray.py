"""A data set made by the actors of a real Ray on this machine, some of whom are killed at work."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ncm_lib import ClassList, NoiseCutMix, RenderSettings, generate, invert, load_source, verify
from ncm_lib.cli.main import main
from ncm_lib.engine.ray_run import _Job, _Maker, _Starts, generate_with_ray

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "noisecutmix[ray]"')
pytest.importorskip("ray.data")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL"),
    # 2026-11, ray 2.60: its own DataContext sets fields that it calls deprecated. May go when it no longer does.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

METHOD = NoiseCutMix(classes=ClassList.of(["sneaker", "bag", "coat"]), placement="inside")
SETTINGS = RenderSettings(num_inference_steps=2, guidance_scale=3.0)
COUNT, BATCH = 75, 2
SECONDS = 120


@pytest.fixture(scope="module")
def ray_home() -> Iterator[Path]:
    """Where Ray keeps its sockets, whose paths must be short; every process of Ray has it in its environment."""
    with tempfile.TemporaryDirectory(prefix="ncm-", dir="/tmp") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", home)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield Path(home)
        until(lambda: not processes_of(Path(home)), "Ray's processes to end")


@pytest.fixture(scope="module")
def local_ray(ray_home: Path) -> Iterator[None]:
    terminate = signal.getsignal(signal.SIGTERM)
    ray.init(address="local", num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    signal.signal(signal.SIGTERM, terminate)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory) -> Path:
    """What one process makes with one thread."""
    folder = tmp_path_factory.mktemp("whole") / "set"
    with one_thread():
        generate(METHOD, tiny_model, out=folder, count=COUNT, batch_size=BATCH, settings=SETTINGS)
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """On a CPU, bytes repeat at the same number of threads; the actors have one each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(model: Path, out: Path, **options):
    options = {"count": COUNT, "batch_size": BATCH, "settings": SETTINGS, "actors": 2} | options
    return generate_with_ray(METHOD, model, out=out, **options)


def until(condition, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        threading.Event().wait(0.005)


def processes_of(home: Path) -> list[int]:
    """The processes that were started with this home of Ray's, this one left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"RAY_TMPDIR={home}".encode() in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def lines(folder: Path, pattern: str = "metadata-*.jsonl") -> int:
    return sum(log.read_bytes().count(b"\n") for log in folder.glob(pattern))


def content(folder: Path) -> dict[str, bytes]:
    """All that a data set says, the running logs and statistics left out."""
    files = [*folder.glob("images/*/*"), *folder.glob("masks/*/*")]
    files += [folder / name for name in ("metadata.jsonl", "soft_labels.npy", "preview.png", "dataset.json")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def same(folder: Path, whole: Path) -> None:
    """Nothing is missing, doubled, different or left over."""
    ours, expected = content(folder), content(whole)
    assert sorted(ours) == sorted(expected)
    assert [name for name in ours if ours[name] != expected[name]] == []
    until(lambda: not list(folder.glob(".ncm-*")), "the actors to let go of the folder")
    assert verify(folder).findings == ()


def test_actors_go_on_with_a_data_set_and_make_what_one_process_makes(
    local_ray, whole, tiny_model, tiny_folder, tmp_path
):
    folder, seen = tmp_path / "set", []
    with one_thread():
        generate(METHOD, tiny_model, out=folder, count=5, batch_size=BATCH, settings=SETTINGS)
    summary = make(tiny_folder, folder, on_progress=seen.append)
    same(folder, whole)
    assert (summary.made, summary.skipped, summary.failed, summary.notes) == (COUNT - 5, 5, 0, ())
    assert [progress.made for progress in seen] == sorted(progress.made for progress in seen)
    assert (seen[-1].done, seen[-1].fraction) == (COUNT, 1.0)
    _, run = map(json.loads, (folder / "stats.jsonl").read_text().splitlines())
    assert (run["ended"], run["shard"], run["made"]) == ("done", "ray/2", COUNT - 5)
    assert make(tiny_folder, folder).made == 0
    assert ray.is_initialized(), "a Ray that was there before was shut down"


def test_actors_start_from_a_pool_of_inversions(local_ray, tiny_model, tiny_folder, tmp_path, monkeypatch):
    for number in range(3):
        file = tmp_path / "photos" / "sneaker" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    # the actors have other working directories
    monkeypatch.chdir(tmp_path)
    invert(tiny_model, load_source("photos"), out="pool", num_inference_steps=2, measure=False)
    words = ["generate", "diff-ii", "--model", str(tiny_folder), "--pool", "pool", "--num-inference-steps", "2"]
    words += ["--batch-size", str(BATCH), "--device", "cpu"]
    with one_thread():
        assert main([*words, "--out", "whole"]) == 0
    assert main([*words, "--out", "set", "--ray", "--ray-actors", "2"]) == 0
    same(tmp_path / "set", tmp_path / "whole")
    # one condition owns each whole image, so there are no masks
    assert len(content(tmp_path / "set")) == 15 + 4


def test_an_actor_that_is_killed_at_work_is_replaced_and_nothing_is_lost_or_doubled(
    local_ray, whole, tiny_folder, tmp_path
):
    folder, killed = tmp_path / "set", []

    def kill_the_first_that_has_written() -> None:
        until(lambda: lines(folder, "metadata-[1-9].jsonl"), "an actor's first line")
        (log, *_) = [log for log in folder.glob("metadata-[1-9].jsonl") if log.stat().st_size]
        rank = log.name.split("-")[1].split(".")[0]
        holder = json.loads((folder / f".ncm-{rank}.lock").read_text())["pid"]
        os.kill(holder, signal.SIGKILL)
        killed.append((holder, lines(folder)))

    killer = threading.Thread(target=kill_the_first_that_has_written)
    killer.start()
    summary = make(tiny_folder, folder)
    killer.join(SECONDS)
    ((holder, done),) = killed
    assert holder != os.getpid()
    assert done < COUNT, "the actor was killed when all was done"
    assert (summary.made, summary.failed) == (COUNT, 0)
    assert "1 actor died and started again; nothing was lost" in summary.notes
    same(folder, whole)


def test_what_an_actor_of_a_running_cluster_meets_is_told_by_the_command(local_ray, tiny_model, tiny_folder, tmp_path):
    folder = tmp_path / "set"
    generate(METHOD, tiny_model, out=folder, count=2, batch_size=BATCH, settings=SETTINGS, save_masks=False)
    (folder / "masks").mkdir()
    (folder / "masks/000").touch()
    run = ncm(tiny_folder, folder, "auto")
    assert run.returncode == 2, run.stderr
    assert re.search(r"^ncm: .* cannot be written: .* \(an actor on .*\)$", run.stderr, re.MULTILINE), run.stderr
    assert json.loads((folder / "stats.jsonl").read_text().splitlines()[-1])["ended"] == "InputError"
    assert ray.nodes()[0]["Alive"], "the cluster was shut down"


@pytest.fixture
def maker(local_ray, tiny_folder, tmp_path):
    """Makes an actor's inside here, for a data set that is not there, and its counter of starts."""
    job = _Job(
        method=METHOD, model=str(tiny_folder), out=tmp_path / "set", count=2, seed=0, batch_size=2, settings=SETTINGS,
        image_format="png", save_masks=True, inversion=None, device="cpu", dtype="float32",
    )  # fmt: skip
    starts = ray.remote(num_cpus=0)(_Starts).remote()
    return lambda limit: (_Maker(job, starts, limit), starts)


def test_an_actor_that_does_not_see_the_folder_says_so(maker, tmp_path):
    inside, _ = maker(9)
    (report,) = inside({"batches": [[0]]})["report"]
    assert "take a folder that all machines share" in json.loads(report)["error"]
    assert not (tmp_path / "set").exists()


def test_actors_that_keep_dying_end_the_run(maker):
    inside, starts = maker(3)
    for _ in range(3):
        ray.get(starts.add.remote())
    (report,) = inside({"batches": [[0]]})["report"]
    assert "Actors were started 4 times and none has finished anything since" in json.loads(report)["error"]
    ray.get(starts.clear.remote())
    assert ray.get(starts.add.remote()) == (1, 5)


def command(model: Path, out: Path, *address: str) -> list[str]:
    code = "import sys; from ncm_lib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    options = "--classes sneaker,bag,coat --placement inside --num-inference-steps 2 --guidance-scale 3 --ray-actors 2"
    return [
        sys.executable, "-c", code, "generate", "noisecutmix", "--model", str(model), "--out", str(out),
        "--count", str(COUNT), "--batch-size", str(BATCH), *options.split(), "--ray", *address,
    ]  # fmt: skip


def ncm(model: Path, out: Path, *address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(model, out, *address), capture_output=True, text=True, check=False, timeout=SECONDS)


def test_a_terminated_driver_says_so_and_a_killed_one_is_resumed(ray_home, whole, tiny_folder, tmp_path):
    if ray.is_initialized():
        ray.shutdown()  # of the tests before
    until(lambda: not processes_of(ray_home), "the Ray of other tests to end")
    folder = tmp_path / "set"

    def stopped(number: signal.Signals, moment) -> tuple[int, str]:
        with subprocess.Popen(
            command(tiny_folder, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as driver:
            until(lambda: moment() or driver.poll() is not None, "the moment to stop the driver")
            driver.send_signal(number)
            _, errors = driver.communicate(timeout=SECONDS)
        until(lambda: not processes_of(ray_home), "Ray's processes to end")
        return driver.returncode, errors.decode()

    code, errors = stopped(signal.SIGTERM, (folder / "dataset.json").is_file)
    assert code == 143, errors
    assert "the same command continues" in errors
    code, errors = stopped(signal.SIGKILL, lambda: lines(folder))
    assert code == -signal.SIGKILL, errors
    assert 0 < lines(folder) < COUNT
    last = ncm(tiny_folder, folder)
    assert last.returncode == 0, last.stderr
    assert f"{COUNT} images made" not in last.stdout
    same(folder, whole)
    until(lambda: not processes_of(ray_home), "Ray's processes to end")
