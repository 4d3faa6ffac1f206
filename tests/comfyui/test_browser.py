"""The browser fixture, tried on ComfyUI's own nodes."""

import json

import pytest

from .browser import BrowserError

pytestmark = pytest.mark.slow

# The format in which the page saves: nodes with widget values by position, links as lists.
WORKFLOW = {
    "last_node_id": 2, "last_link_id": 1, "version": 0.4, "groups": [], "config": {}, "extra": {},
    "nodes": [
        {"id": 1, "type": "EmptyImage", "pos": [100, 200], "size": [300, 130], "flags": {}, "order": 0, "mode": 0,
         "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}], "properties": {},
         "widgets_values": [16, 8, 2, 255]},
        {"id": 2, "type": "PreviewImage", "pos": [500, 200], "size": [300, 250], "flags": {}, "order": 1, "mode": 0,
         "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "outputs": [], "properties": {},
         "widgets_values": []},
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"]],
}  # fmt: skip


def load(page, tmp_path, workflow):
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow))
    page.load(file)


def test_the_page_converts_a_workflow_file_to_what_the_queue_takes(comfy_page, tmp_path):
    # Old frontends stumble over their own settings when they start.
    errors = list(comfy_page.errors)
    load(comfy_page, tmp_path, WORKFLOW)
    prompt = comfy_page.graph_to_prompt()
    assert {name: node["class_type"] for name, node in prompt.items()} == {"1": "EmptyImage", "2": "PreviewImage"}
    assert prompt["1"]["inputs"] == {"width": 16, "height": 8, "batch_size": 2, "color": 255}
    assert prompt["2"]["inputs"] == {"images": ["1", 0]}
    assert comfy_page.workflow()["nodes"][0]["widgets_values"] == [16, 8, 2, 255]
    assert comfy_page.errors == errors


def test_run_ends_when_the_graph_was_executed(comfy_page, server, tmp_path):
    load(comfy_page, tmp_path, WORKFLOW)
    history = server.wait(comfy_page.run())
    assert len(history["outputs"]["2"]["images"]) == 2
    assert comfy_page.screenshot(tmp_path / "page.png").stat().st_size > 10_000


def test_a_graph_that_is_refused_is_an_error_in_words(comfy_page, tmp_path):
    unlinked = {**WORKFLOW["nodes"][1], "inputs": [{"name": "images", "type": "IMAGE", "link": None}]}
    alone = {**WORKFLOW, "nodes": [unlinked], "links": []}
    load(comfy_page, tmp_path, alone)
    with pytest.raises(BrowserError, match=r"PreviewImage \(node 2\): Required input is missing: images"):
        comfy_page.run()
