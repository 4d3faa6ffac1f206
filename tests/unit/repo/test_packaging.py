"""What is in the package that people install, and what its metadata promises."""

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
BREAKS_ON_CPU_TORCH = {"torchvision", "torchaudio", "timm", "lpips", "open-clip-torch", "clean-fid"}


def files_under(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="session")
def dist(tmp_path_factory) -> Path:
    """The source archive of this checkout, and the wheel built from that archive."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return out


@pytest.fixture(scope="session")
def wheel(dist) -> Path:
    (file,) = dist.glob("*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_the_demo_model_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    metadata = {name for name in files if name.startswith(f"noisecutmix-{PROJECT['version']}.dist-info/")}
    expected = {f"ncm_lib/{name}": content for name, content in files_under(ROOT / "ncm_lib").items()}
    expected |= {f"ncm_lib/_demo/{name}": content for name, content in files_under(ROOT / "ckpts" / "demo").items()}
    assert set(files) - metadata == set(expected)
    assert {name for name, content in expected.items() if files[name] != content} == set()


@pytest.mark.slow
def test_an_editable_install_puts_no_folder_beside_the_library_that_would_hide_it(tmp_path):
    build = "import sys, hatchling.build; print(hatchling.build.build_editable(sys.argv[1]))"
    run = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / run.stdout.split()[-1]) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist() if "/" in name}
    assert folders == {f"noisecutmix-{PROJECT['version']}.dist-info"}


@pytest.mark.slow
def test_the_wheel_is_small_enough_for_any_package_index(wheel):
    assert wheel.stat().st_size < 40e6


@pytest.mark.slow
def test_the_source_archive_holds_the_demo_model_and_no_checkpoint_of_the_user(dist):
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "__init__.py", "ckpts/demo/model_index.json"} <= names
    allowed = ("ckpts/demo/", "ckpts/recipe/", "ckpts/put_finetuned_ckpts_here.txt")
    assert not [name for name in names if name.startswith("ckpts/") and not name.startswith(allowed)]


@pytest.mark.slow
def test_a_clean_environment_makes_the_demo_data_set_from_the_wheel(wheel, tmp_path):
    # The dependencies are lent by the running environment; a path in a .pth file lends no editable install, because
    # .pth files that lie there are not read.
    home = tmp_path / "venv"
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(home)
    context = builder.ensure_directories(home)
    site = Path(_output([context.env_exe, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], tmp_path))
    (site / "lent.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", "--python", context.env_exe, "install", "--quiet"]
    _output([*pip, "--no-deps", "--no-index", "--ignore-installed", str(wheel)], tmp_path)

    where = Path(_output([context.env_exe, "-c", "import ncm_lib; print(ncm_lib.__file__)"], tmp_path))
    assert where.resolve().is_relative_to(home.resolve())
    _output([str(Path(context.bin_path) / "ncm"), "demo", "--out", "set", "--count", "4"], tmp_path)

    from PIL import Image

    records = [json.loads(line) for line in (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    for record in records:
        assert sum(record["weights"]) == pytest.approx(1)
        with Image.open(tmp_path / "set" / record["file_name"]) as image:
            lowest, highest = image.convert("L").getextrema()
        assert highest - lowest > 50, f"{record['file_name']} is nearly constant"
    with Image.open(tmp_path / "set" / "preview.png") as grid:
        grid.verify()


def _output(command: list[str], folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout}{run.stderr}"
    return run.stdout.strip()


def test_the_version_is_the_same_everywhere():
    import ncm_lib

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert ncm_lib.__version__ == PROJECT["version"]
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE).group(1) == PROJECT["version"]
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_comfyui_registry_finds_what_it_reads():
    comfy = PYPROJECT["tool"]["comfy"]
    assert "comfyui" not in PROJECT["name"].lower()
    assert comfy["PublisherId"]
    assert comfy["DisplayName"] == "NoiseCutMix"
    assert comfy["requires-comfyui"] == ">=0.3.75"
    for key in ("Icon", "Banner"):
        assert comfy.get(key, "https://").startswith("https://"), f"{key} is an address, or is left out"
    ignored = [line for line in (ROOT / ".comfyignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = ("__init__.py", "nodes/", "ncm_lib/", "workflows/", "ckpts/demo/", "pyproject.toml", "README.md", "LICENSE")
    assert not set(kept) & set(ignored)


def test_no_file_makes_comfyui_install_other_versions():
    assert not [name for name in ("requirements.txt", "setup.py", "setup.cfg", "install.py") if (ROOT / name).exists()]


def requirements(extra: str | None) -> list[Requirement]:
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("extra", [None, "test"], ids=["core", "test"])
def test_nothing_that_breaks_on_cpu_torch_is_installed_by_default(extra):
    assert not {requirement.name for requirement in requirements(extra)} & BREAKS_ON_CPU_TORCH


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_requirement_of_the_readme_commands_has_one_pin_within_its_range(python, platform):
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0",
                   "sys_platform": platform, "os_name": "nt" if platform == "win32" else "posix"}  # fmt: skip
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    valid = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    versions = {_plain(pin.name): str(pin.specifier).removeprefix("==") for pin in valid}
    assert len(versions) == len(valid), "a name is pinned twice"
    for requirement in [*requirements(None), *requirements("test")]:
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert _plain(requirement.name) in versions, f"{requirement.name} has no pin in constraints.txt"
            assert requirement.specifier.contains(versions[_plain(requirement.name)]), requirement


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
