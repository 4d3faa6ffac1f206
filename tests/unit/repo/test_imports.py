"""What importing the library costs, brings and needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def bare_import() -> dict:
    """What `import ncm_lib` did in a fresh process that had torch loaded already."""
    result = run("""
import json, sys, time, torch
before = set(sys.modules)
start = time.perf_counter()
import ncm_lib
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "new": sorted(set(sys.modules) - before), "cuda": torch.cuda.is_initialized()}))
""")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_import_costs_less_than_a_third_of_a_second_on_top_of_torch(bare_import):
    assert bare_import["seconds"] < 0.3


def test_the_import_brings_no_heavy_package(bare_import):
    heavy = {"diffusers", "transformers", "accelerate", "peft", "tyro", "scipy", "pydantic", "PIL", "torchvision"}
    assert not heavy & {name.split(".")[0] for name in bare_import["new"]}


def test_every_module_loads_without_starting_cuda_or_touching_the_network():
    # The hook sees what C code does, too; diffusers and transformers are among what is imported here.
    result = run("""
import importlib, pkgutil, sys, torch

def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.bind", "urllib.Request")):
        raise RuntimeError(f"network at import: {event} {arguments}")

def no_cuda():
    raise RuntimeError("CUDA was started at import")

sys.addaudithook(refuse)
torch.cuda._lazy_init = no_cuda
import ncm_lib
names = [m.name for m in pkgutil.walk_packages(ncm_lib.__path__, "ncm_lib.") if not m.name.startswith("ncm_lib._")]
assert len(names) > 20, names
for name in names:
    importlib.import_module(name)
for name in ncm_lib.__all__:
    getattr(ncm_lib, name)
""")
    assert result.returncode == 0, result.stderr


def test_an_unknown_name_is_an_attribute_error():
    import ncm_lib

    with pytest.raises(AttributeError, match="no attribute 'NoiseCutMixx'"):
        _ = ncm_lib.NoiseCutMixx


def test_shape_annotations_are_executed_in_the_tests():
    jaxtyping = pytest.importorskip("jaxtyping")
    from ncm_lib import guide

    whole_numbers = torch.zeros(2, 4, 8, 8, dtype=torch.int64)
    with pytest.raises(jaxtyping.TypeCheckError):
        guide(whole_numbers, whole_numbers, 7.5)
