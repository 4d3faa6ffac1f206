"""Fixtures for tests against a real ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from .installation import Installation, NoNetworkError, frontend_options, installation
from .server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .browser import ComfyPage

# What is in there runs in ComfyUI's own Python: see test_inside.py.
collect_ignore = ["inside", "testing_nodes"]


def _skip(error: NoNetworkError) -> NoReturn:
    pytest.skip(f"ComfyUI has to be downloaded once, unless COMFYUI_PATH names one. {error}")


@pytest.fixture(scope="session")
def comfyui() -> Installation:
    """A ComfyUI checkout and the Python that runs it; the first use on a machine builds them, which takes a minute."""
    try:
        return installation()
    except NoNetworkError as error:
        _skip(error)


@pytest.fixture(scope="session")
def server(comfyui: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ComfyUI's server in a process of its own, with our nodes and those for tests, and a client for it."""
    try:
        options = frontend_options()
    except NoNetworkError as error:
        _skip(error)
    with Server(comfyui, tmp_path_factory.mktemp("server"), options=options) as server:
        yield server


@pytest.fixture
def comfy_page(server: Server, browser: Browser) -> Iterator[ComfyPage]:
    """A fresh tab with ComfyUI's page in it."""
    from .browser import ComfyPage

    with browser.new_context(viewport={"width": 1600, "height": 1000}) as context:
        yield ComfyPage(context.new_page(), server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Show what the server printed when a test that uses it fails."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        report.sections.append(("ComfyUI's server", server.log()[-8000:]))
    return report
