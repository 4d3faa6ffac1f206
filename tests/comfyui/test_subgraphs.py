"""The subgraph blueprint: the page offers it by name, and it is what the demo's nodes are."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from .test_workflows import FOLDER, check_slots, check_values, empty_cache, node_titled, pictures

pytestmark = pytest.mark.slow

NAME = "NoiseCutMix mixing"
FILE = Path(__file__).parents[2] / "subgraphs" / f"{NAME}.json"
# Of the search box for nodes, in older and newer frontends.
SEARCH = re.compile("Search Nodes|Add a node")
# The demo with the blueprint in the place of the four nodes that it holds.
REPLACE = """(name) => {
    const of = (type) => app.graph.nodes.filter((node) => node.type === type);
    const [demo, pair, negative] = ["NCM_LoadDemoModel", "NCM_ClassPair", "CLIPTextEncode"].map((type) => of(type)[0]);
    const mixing = app.graph.nodes.find((node) => node.title === name);
    const set = (widget, value) => { mixing.widgets.find((found) => found.name === widget).value = value; };
    const old = ["NCM_EncodePrompts", "NCM_CutMixMask", "NCM_DualPromptMixedSampler"].flatMap(of);
    const [mask, sampler] = old.slice(-2);
    const copied = {alpha: [mask, "alpha"], "mask seed": [mask, "seed"], placement: [mask, "placement"],
                    seed: [sampler, "seed"], steps: [sampler, "steps"], cfg: [sampler, "cfg"]};
    for (const [widget, [from, its]] of Object.entries(copied))
        set(widget, from.widgets.find((found) => found.name === its).value);
    for (const node of old) app.graph.remove(node);
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex((input) => input.name === name));
    link(demo, 0, mixing, "model");
    link(demo, 1, mixing, "clip");
    link(pair, 0, mixing, "prompts A");
    link(pair, 1, mixing, "prompts B");
    link(negative, 0, mixing, "negative");
    link(demo, 3, mixing, "latent");
    link(mixing, 0, of("VAEDecode")[0], "samples");
    link(mixing, 1, of("NCM_SoftLabel")[0], "mask");
    link(mixing, 1, of("NCM_SoftLabelWriter")[0], "mask");
}"""


def blueprint() -> dict:
    return json.loads(FILE.read_text(encoding="ascii"))


def test_the_folder_holds_blueprints_only():
    assert [file.name for file in FILE.parent.iterdir()] == [FILE.name]


def test_its_nodes_and_values_are_those_of_the_schema(server):
    (subgraph,) = blueprint()["definitions"]["subgraphs"]
    (instance,) = blueprint()["nodes"]
    assert instance["type"] == subgraph["id"]
    assert subgraph["name"] == instance["title"] == NAME
    schemas = server.get("/object_info")
    for node in subgraph["nodes"]:
        check_slots(node, schemas[node["type"]])
        check_values(node, schemas[node["type"]])
    for side in ("inputs", "outputs"):
        names = [(slot["name"], slot["type"]) for slot in subgraph[side]]
        assert [(slot["name"], slot["type"]) for slot in instance[side]] == names


def test_the_server_offers_it(server):
    offered = server.get("/global_subgraphs")
    ((key, entry),) = [(key, entry) for key, entry in offered.items() if entry["name"] == NAME]
    assert entry["info"] == {"node_pack": "custom_nodes.noisecutmix"}
    assert json.loads(server.get(f"/global_subgraphs/{key}")["data"]) == blueprint()


def test_it_makes_what_its_nodes_make(comfy_page, server):
    page = comfy_page.page
    comfy_page.load(FOLDER / "noisecutmix_demo.json")
    prompt = comfy_page.graph_to_prompt()
    empty_cache(server)
    expected = pictures(server, server.run(prompt)[node_titled("Images", prompt)]["images"])

    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.get_by_placeholder(SEARCH).fill(NAME)
    page.get_by_role("option").filter(has_text=NAME).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_function("(name) => app.graph.nodes.some((node) => node.title === name)", arg=NAME)
    page.evaluate(REPLACE, NAME)
    prompt = comfy_page.graph_to_prompt()
    kinds = [node["class_type"] for node in prompt.values()]
    assert sorted(kinds) == sorted(
        ["PrimitiveInt", "NCM_LoadDemoModel", "NCM_ClassPair", "NCM_EncodePrompts", "NCM_EncodePrompts",
         "CLIPTextEncode", "NCM_CutMixMask", "NCM_DualPromptMixedSampler", "VAEDecode", "ImageScaleBy",
         "PreviewImage", "NCM_SoftLabel", "NCM_SoftLabelWriter"]
    )  # fmt: skip
    empty_cache(server)
    made = pictures(server, server.run(prompt)[node_titled("Images", prompt)]["images"])
    np.testing.assert_array_equal(made, expected)
