"""The server fixture, tried on ComfyUI's own nodes."""

import pytest

from .inside.harness.graph import Graph
from .server import Server, ServerError

pytestmark = pytest.mark.slow


def white() -> tuple[Graph, str]:
    graph = Graph()
    image = graph.add("EmptyImage", width=8, height=8, batch_size=1, color=0xFFFFFF)
    return graph, graph.add("SaveImage", images=image[0], filename_prefix="white").id


def test_the_server_is_the_installed_comfyui(server, comfyui):
    assert server.get("/system_stats")["system"]["comfyui_version"] == comfyui.version


def test_the_nodes_for_tests_are_served(server):
    assert server.get("/object_info/NCMTest_Capture")["NCMTest_Capture"]["output_node"] is True


def test_a_queued_graph_leaves_its_files_in_the_base_directory(server):
    graph, save = white()
    (shown,) = server.run(graph)[save]["images"]
    file = server.base / "output" / shown["subfolder"] / shown["filename"]
    assert server.get_bytes(f"/view?filename={shown['filename']}&type=output") == file.read_bytes()


def test_a_graph_that_the_queue_refuses_is_an_error_in_words(server):
    graph = Graph()
    graph.add("SaveImage", filename_prefix="white")
    with pytest.raises(ServerError, match=r"SaveImage \(node 1\): Required input is missing: images"):
        server.queue(graph)


def test_a_node_that_raises_is_an_error_with_its_message(server):
    graph = Graph()
    graph.add("NCMTest_Raise", message="the classes are gone")
    with pytest.raises(ServerError, match="the classes are gone"):
        server.run(graph)


def test_a_server_that_does_not_start_shows_its_log(comfyui, tmp_path):
    with (
        pytest.raises(ServerError, match="unrecognized arguments: --no-such-option"),
        Server(comfyui, tmp_path, options=["--no-such-option"]),
    ):
        pass
