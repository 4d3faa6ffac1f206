"""The machinery of the tests in this folder, tried on ComfyUI's own nodes."""

import json

import pytest
import torch
from harness.graph import Graph
from harness.run import GraphError, Run
from PIL import Image


def latents(count: int = 2) -> Graph:
    graph = Graph()
    latent = graph.add("EmptyLatentImage", width=64, height=32, batch_size=count)
    graph.capture("latent", latent[0])
    return graph


def test_a_graph_runs_and_its_tensors_can_be_looked_at(run_graph):
    run = run_graph(latents())
    assert torch.equal(run.captured["latent"]["samples"], torch.zeros(2, 4, 4, 8))
    assert run.executed == ["1", "2"]
    assert run.failure is None


def test_every_run_starts_with_nothing_captured(run_graph):
    run_graph(latents())
    other = Graph()
    other.capture("other", other.add("EmptyLatentImage", width=16, height=16, batch_size=1)[0])
    assert list(run_graph(other).captured) == ["other"]


def test_a_shared_executor_computes_nothing_twice_but_captures_again(comfy, run_graph):
    executor = comfy.executor()
    assert run_graph(latents(), executor=executor).executed == ["1", "2"]
    again = run_graph(latents(), executor=executor)
    assert again.executed == ["2"]
    assert list(again.captured) == ["latent"]


def test_a_list_that_maps_nodes_is_captured_whole(run_graph):
    graph = Graph()
    batch = graph.add("EmptyImage", width=8, height=8, batch_size=3, color=0)
    graph.capture("images", graph.add("ImageFromBatch", image=batch[0], batch_index=0, length=3)[0])
    graph.capture("rebatched", graph.add("RebatchImages", images=batch[0], batch_size=1)[0])
    captured = run_graph(graph).captured
    assert captured["images"].shape == (3, 8, 8, 3)
    assert [image.shape for image in captured["rebatched"]] == [(1, 8, 8, 3)] * 3


def test_an_output_node_shows_where_its_files_are_and_writes_the_workflow_into_them(comfy, run_graph):
    graph = Graph()
    image = graph.add("EmptyImage", width=8, height=8, batch_size=1, color=255)
    save = graph.add("SaveImage", images=image[0], filename_prefix="harness")
    (shown,) = run_graph(graph, extra_pnginfo={"workflow": {"nodes": []}}).ui[save.id]["images"]
    with Image.open(comfy.base / "output" / shown["subfolder"] / shown["filename"]) as file:
        assert file.getpixel((0, 0)) == (0, 0, 255)
        assert json.loads(file.text["workflow"]) == {"nodes": []}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"width": 64, "height": 64}, r"EmptyLatentImage \(node 1\): Required input is missing: batch_size"),
        ({"width": 64, "height": 64, "batch_size": 0}, r"EmptyLatentImage \(node 1\): Value 0 smaller than min of 1"),
    ],
)
def test_a_wrong_input_is_refused_in_words(run_graph, inputs, says):
    graph = Graph()
    graph.capture("latent", graph.add("EmptyLatentImage", **inputs)[0])
    with pytest.raises(GraphError, match=says):
        run_graph(graph, check=False)


def test_a_link_of_the_wrong_type_is_refused_in_words(run_graph):
    graph = latents()
    graph.add("PreviewImage", images=["1", 0])
    with pytest.raises(GraphError, match=r"PreviewImage \(node 3\): Return type mismatch .*LATENT.*IMAGE"):
        run_graph(graph)


def test_an_unknown_node_is_refused_by_name(run_graph):
    graph = Graph()
    graph.add("NoSuchNode")
    with pytest.raises(GraphError, match="node NoSuchNode does not exist"):
        run_graph(graph)


def raising() -> Graph:
    graph = Graph()
    graph.add("NCMTest_Raise", message="the classes are gone")
    return graph


def test_a_node_that_raises_fails_the_run_with_its_traceback(run_graph):
    says = r"NCMTest_Raise \(node 1\) raised ValueError: the classes are gone\n[\s\S]*misbehaviour.py"
    with pytest.raises(GraphError, match=says):
        run_graph(raising())


def test_a_node_that_is_expected_to_raise_can_be_looked_at(run_graph):
    run = run_graph(raising(), check=False)
    assert (run.failure.node_type, run.failure.exception_type) == ("NCMTest_Raise", "ValueError")
    assert run.failure.message == "the classes are gone"
    assert not run.interrupted


def steps() -> Graph:
    graph = Graph()
    graph.capture("done", graph.add("NCMTest_Steps", steps=5)[0])
    return graph


def progress(run: Run) -> list[int]:
    return [data["value"] for event, data in run.events if event == "progress"]


def test_progress_is_told_step_by_step(run_graph):
    run = run_graph(steps())
    assert progress(run) == [1, 2, 3, 4, 5]
    assert run.captured["done"] == 5


def test_a_run_can_be_interrupted_at_a_step(comfy, run_graph):
    def cancel(event, data):
        if event == "progress" and data["value"] == 2:
            comfy.interrupt()

    run = run_graph(steps(), check=False, on_event=cancel)
    assert (run.interrupted, run.failure, run.captured) == (True, None, {})
    assert progress(run) == [1, 2]
    with pytest.raises(GraphError, match="interrupted"):
        run_graph(steps(), on_event=cancel)
    comfy.interrupt()
    assert comfy.interrupted()
    assert not run_graph(steps()).interrupted, "a run starts with the flag cleared"
    assert not comfy.interrupted()


def test_the_packs_come_from_comfyuis_own_loader(comfy):
    package = comfy.nodes["NCMTest_Capture"].__module__.rpartition(".")[0]
    assert package == str(comfy.base / "custom_nodes" / "noisecutmix_testing").replace(".", "_x_")
    assert not [line for line in comfy.log if "noisecutmix_testing" in line and "WARNING" in line]
