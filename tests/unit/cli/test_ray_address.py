"""``--ray`` with and without an address."""

import sys

import pytest

from ncm_lib.cli.main import main

GENERATE = ["generate", "noisecutmix", "--model", "demo", "--count", "2"]


@pytest.fixture
def asked(monkeypatch):
    """What the command asks Ray for; the run itself is not made."""
    from ncm_lib.engine import ray_run

    calls = []

    def note(method, model, **options):
        calls.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_run, "generate_with_ray", note)
    return calls


@pytest.mark.parametrize(("words", "address"), [(["--ray"], "local"), (["--ray", "auto"], "auto")])
def test_the_address_may_be_left_out(asked, tmp_path, words, address):
    assert main([*GENERATE, *words, "--out", str(tmp_path / "set"), "--ray-actors", "3", "--dtype", "bf16"]) == 130
    (options,) = asked
    assert (options["address"], options["actors"], options["dtype"]) == (address, 3, "bf16")


def test_two_addresses_are_refused(tmp_path, capsys):
    assert main([*GENERATE, "--out", str(tmp_path / "set"), "--ray", "auto", "10.0.0.1:6379"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ncm: --ray got 'auto 10.0.0.1:6379'; ")
    assert "one address" in line


def test_ray_and_a_shard_do_not_go_together(asked, tmp_path, capsys):
    assert main([*GENERATE, "--out", str(tmp_path / "set"), "--ray", "--shard", "0/2"]) == 2
    assert "--ray and --shard 0/2 do not go together" in capsys.readouterr().err
    assert asked == []


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*GENERATE, "--out", str(tmp_path / "set"), "--ray"]) == 2
    assert (
        'pip install "noisecutmix[ray]", or in a clone of the repository: pip install -e ".[ray]"'
        in capsys.readouterr().err
    )
