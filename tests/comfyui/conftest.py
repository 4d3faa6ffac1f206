"""Fixtures for tests against a real ComfyUI."""

from __future__ import annotations

import pytest

from .installation import Installation, NoNetworkError, installation

# What is in there runs in ComfyUI's own Python: see test_inside.py.
collect_ignore = ["inside", "testing_nodes"]


@pytest.fixture(scope="session")
def comfyui() -> Installation:
    """A ComfyUI checkout and the Python that runs it; the first use on a machine builds them, which takes a minute."""
    try:
        return installation()
    except NoNetworkError as error:
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        pytest.skip(f"ComfyUI could not be downloaded, and COMFYUI_PATH names none. {last}")
