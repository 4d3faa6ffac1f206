"""ComfyUI's page in a headless browser, used as a person uses it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response, sync_playwright

from .inside.harness.run import refusal
from .server import Server

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
# Without it the first visit shows a tour.
SETTINGS = {"Comfy.TutorialCompleted": True}
# The page is there when it shows its default graph. From then on it notes how every run ends.
READY = "() => window.app?.graph?.nodes?.length > 0"
NOTE_ENDS = """() => {
    window.ncmEnds = {};
    for (const type of ["execution_success", "execution_error", "execution_interrupted"])
        window.app.api.addEventListener(type, ({detail}) => { window.ncmEnds[detail.prompt_id] = [type, detail]; });
}"""
# A file is loaded when the page's own method is through with it.
NOTE_LOADED = """() => {
    const app = window.app, load = app.loadGraphData;
    window.ncmLoaded = false;
    app.loadGraphData = async (...data) => {
        app.loadGraphData = load;
        await load.apply(app, data);
        window.ncmLoaded = true;
    };
}"""


class BrowserError(AssertionError):
    """The page did not do what a test asked for."""


def chromium() -> str | None:
    """The path of the browser on this machine: ``NCM_CHROMIUM``, or one that is on the search path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("NCM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def started(executable: str) -> Iterator[Browser]:
    """A headless browser with a fresh profile, which reaches this machine only."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        yield browser
        browser.close()


class ComfyPage:
    """A tab with ComfyUI in it.

    Attributes:
        page: Playwright's own page, for whatever is not offered here.
        errors: What JavaScript on the page raised and did not catch.
    """

    def __init__(self, page: Page, server: Server, *, seconds: float = 120):
        self.page, self._server = page, server
        self.errors: list[str] = []
        page.set_default_timeout(1000 * seconds)
        page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        server.post("/settings", SETTINGS)
        page.goto(server.url)
        page.wait_for_function(READY)
        page.evaluate(NOTE_ENDS)

    def load(self, workflow: Path) -> None:
        """Open a workflow from a file, as the menu does."""
        self.page.evaluate(NOTE_LOADED)
        self.page.set_input_files("#comfy-file-input", workflow)
        self.page.wait_for_function("() => window.ncmLoaded")

    def workflow(self) -> dict[str, Any]:
        """The graph on the page, in the format that it is saved in."""
        return self.page.evaluate("() => window.app.graph.serialize()")

    def graph_to_prompt(self) -> dict[str, Any]:
        """The graph on the page in the API format, converted by the page itself."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self) -> str:
        """Click Run and wait until the run has ended; its id in the server's history.

        Raises:
            BrowserError: The graph is refused, a node raises, or the run is interrupted.
        """
        with self.page.expect_response(_queued) as waiting:
            self.page.get_by_role("button", name="Run", exact=True).click()
        answer = waiting.value.json()
        if not waiting.value.ok:
            raise BrowserError(refusal(answer["error"], answer["node_errors"]))
        prompt_id = answer["prompt_id"]
        ended = self.page.wait_for_function("(id) => window.ncmEnds[id]", arg=prompt_id)
        kind, detail = ended.json_value()
        if kind != "execution_success":
            raise BrowserError(f"{kind}: {json.dumps(detail, indent=1)}")
        return prompt_id

    def screenshot(self, path: Path) -> Path:
        """Take a picture of the page."""
        self.page.screenshot(path=path)
        return path


def _queued(response: Response) -> bool:
    return response.request.method == "POST" and response.url.endswith("/prompt")
