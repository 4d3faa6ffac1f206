"""What loading the pack costs and brings, on top of ComfyUI itself."""

import json
import subprocess
import sys

import pytest
from harness.base import make_base

# ComfyUI with all that it imports itself, then our pack through ComfyUI's own loader, watched: no socket may be made.
PROGRAM = """
import asyncio, json, logging, sys, time

base = sys.argv[1]
sys.argv = ["main.py", "--cpu", "--base-directory", base, "--disable-api-nodes", "--database-url", "sqlite:///:memory:"]
import main, nodes

def refuse(event, arguments):
    if event.startswith("socket.") and watching:
        sockets.append(event)
        raise RuntimeError(f"{event} {arguments} while the pack was loaded")

watching, sockets = False, []
sys.addaudithook(refuse)
loop = asyncio.new_event_loop()
before = set(sys.modules)
watching, start = True, time.process_time()
pack = f"{base}/custom_nodes/noisecutmix"
loaded = loop.run_until_complete(nodes.load_custom_node(pack, module_parent="custom_nodes"))
seconds, watching = time.process_time() - start, False
new = sorted(set(sys.modules) - before)
ours = [name for name in nodes.NODE_CLASS_MAPPINGS if name.startswith("NCM_")]
print("RESULT", json.dumps({"loaded": loaded, "nodes": ours, "sockets": sockets, "seconds": seconds, "new": new}))
"""


@pytest.fixture(scope="module")
def load(tmp_path_factory) -> dict:
    """What came of loading the pack in a fresh process."""
    base = make_base(tmp_path_factory.mktemp("comfyui") / "base")
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(base)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (result,) = [line.removeprefix("RESULT ") for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    return json.loads(result) | {"log": run.stderr}


def test_the_pack_loads_without_a_socket(load):
    assert load["sockets"] == [], load["log"]
    assert load["loaded"], load["log"]
    assert len(load["nodes"]) >= 16


def test_loading_takes_less_than_a_second_of_processor_time(load):
    assert load["seconds"] < 1


def test_loading_brings_nothing_that_comfyui_does_not_have(load):
    heavy = {"diffusers", "peft", "tyro", "accelerate", "datasets", "jaxtyping", "matplotlib", "pandas", "sklearn"}
    assert heavy & {name.partition(".")[0] for name in load["new"]} == set()
