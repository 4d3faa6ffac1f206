"""Fixtures of the tests that run in ComfyUI's own Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.comfyui import ComfyUI
from harness.run import Run


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> ComfyUI:
    """ComfyUI on the CPU in this process, with its own nodes, ours, and those for tests, and a fresh base directory."""
    return ComfyUI(tmp_path_factory.mktemp("comfyui") / "base")


@pytest.fixture
def run_graph(comfy: ComfyUI) -> Callable[..., Run]:
    """``comfy.run``: validate and execute a graph; see there."""
    return comfy.run
