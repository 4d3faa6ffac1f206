"""How work and machines are shared out before Ray is asked for anything."""

import signal
import sys

import pytest

from ncm_lib import ClassList, InputError, MissingExtraError, NoiseCutMix
from ncm_lib.engine.ray_run import ROWS_PER_ACTOR, _Pool, _pool, _rows, generate_with_ray

CPU_4, CPU_8, GPU_2, NO_CPU = {"CPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}, {"memory": 1e9}


@pytest.mark.parametrize(
    ("nodes", "actors", "device", "expected"),
    [
        ([CPU_4], None, None, _Pool(actors=1, cpus=4)),
        ([CPU_4], 2, None, _Pool(actors=2, cpus=2)),
        ([CPU_4], 3, None, _Pool(actors=3, cpus=1)),
        ([CPU_4, CPU_8, NO_CPU], None, None, _Pool(actors=2, cpus=4)),
        ([CPU_8, CPU_8], 3, None, _Pool(actors=3, cpus=4)),
        ([{"CPU": 1.0}, {"CPU": 15.0}], 16, None, _Pool(actors=16, cpus=1)),
        ([GPU_2, GPU_2, CPU_4], None, None, _Pool(actors=4, gpus=1)),
        ([GPU_2], 1, "cuda", _Pool(actors=1, gpus=1)),
        ([GPU_2], None, "cpu", _Pool(actors=1, cpus=8)),
    ],
)
def test_an_actor_gets_a_gpu_each_or_its_share_of_the_smallest_machine(nodes, actors, device, expected):
    assert _pool(nodes, actors=actors, device=device) == expected


@pytest.mark.parametrize(
    ("nodes", "actors", "device", "message"),
    [
        ([CPU_4], 5, None, "5 actors are asked for, and the Ray cluster has 4 CPU cores"),
        ([GPU_2], 3, None, "3 actors are asked for, and the Ray cluster has 2 GPUs"),
        ([CPU_4], None, "cuda", "1 actors are asked for, and the Ray cluster has 0 GPUs"),
        ([NO_CPU], None, None, "0 CPU cores"),
        ([CPU_4], 0, None, "must be at least 1"),
        ([GPU_2], None, "cuda:1", "legal are cpu, cuda and mps"),
    ],
)
def test_what_the_cluster_has_no_room_for_is_refused(nodes, actors, device, message):
    with pytest.raises(InputError, match=message):
        _pool(nodes, actors=actors, device=device)


def test_a_row_names_the_batches_of_missing_samples_each_once():
    assert _rows([0, 1, 5, 9, 10, 11], 4, 2) == [[0], [1], [2]]
    assert _rows([], 4, 2) == []


def test_many_batches_are_cut_into_rows_that_end_evenly():
    rows = _rows(range(1_000_000), 8, 2)
    assert [batch for row in rows for batch in row] == list(range(125_000))
    assert ROWS_PER_ACTOR * 2 - 2 <= len(rows) <= ROWS_PER_ACTOR * 2
    assert max(map(len, rows)) <= 125_000 / (ROWS_PER_ACTOR * 2) + 1


def test_without_ray_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    method = NoiseCutMix(classes=ClassList.of(["sneaker", "bag"]))
    with pytest.raises(MissingExtraError, match=r'pip install "noisecutmix\[ray\]"'):
        generate_with_ray(method, "demo", out=tmp_path / "set", count=1)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("address", ["nonsense", "host:port"])
def test_an_address_where_no_cluster_can_be_says_how_to_start_one(tmp_path, address):
    pytest.importorskip("ray", reason='Ray is not installed: pip install "noisecutmix[ray]"')
    method = NoiseCutMix(classes=ClassList.of(["sneaker", "bag"]))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=rf"no Ray cluster at '{address}' .* Start one \(ray start --head\)"):
        generate_with_ray(method, "demo", out=tmp_path / "set", count=1, address=address)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "set").exists()
