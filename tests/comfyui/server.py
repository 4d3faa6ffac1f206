"""ComfyUI as its users start it: a server in a process of its own."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .inside.harness.base import make_base
from .inside.harness.graph import Graph
from .inside.harness.run import refusal
from .installation import Installation

HOST = "127.0.0.1"
# Booting takes 8 s of an idle core.
BOOT_SECONDS = 180


class ServerError(AssertionError):
    """The server did not do what a test asked for."""


class RefusedError(ServerError):
    """The server answered with an error."""

    def __init__(self, request: str, status: int, content: bytes):
        super().__init__(f"{request}: {status} {content[:2000].decode(errors='replace')}")
        self.content = content


class Server:
    """A running ComfyUI, and a client for it; use it as a context manager.

    Attributes:
        base: Its base directory, with ``input``, ``output``, ``user`` and ``custom_nodes``.
        port: The port on the loopback device that it listens on.
    """

    def __init__(self, comfyui: Installation, folder: Path, *, options: Sequence[str] = ()):
        self.base = make_base(folder / "base")
        self._log = folder / "server.log"
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port: int = free.getsockname()[1]
        command = [
            str(comfyui.python), "main.py", "--cpu", "--listen", HOST, "--port", str(self.port),
            "--base-directory", str(self.base), "--database-url", "sqlite:///:memory:", "--disable-api-nodes", *options,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=comfyui.checkout, env=comfyui.environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def __enter__(self) -> Server:
        try:
            self._until(lambda: _listens(self.port), BOOT_SECONDS, "listen")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"http://{HOST}:{self.port}"

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return json.loads(self._answer("GET", path))

    def get_bytes(self, path: str) -> bytes:
        """The content at a path."""
        return self._answer("GET", path)

    def post(self, path: str, data: Any) -> Any:
        """Send JSON to a path; the JSON that comes back, None where there is none."""
        return json.loads(self._answer("POST", path, json.dumps(data)) or "null")

    def queue(self, graph: Graph | dict[str, Any], **extra_data: Any) -> str:
        """Put a graph into the queue; the id by which ``wait`` knows it. A graph that is refused is an error."""
        prompt = graph.prompt if isinstance(graph, Graph) else graph
        try:
            return self.post("/prompt", {"prompt": prompt, "extra_data": extra_data})["prompt_id"]
        except RefusedError as error:
            answer = json.loads(error.content)
            raise ServerError(refusal(answer["error"], answer["node_errors"])) from error

    def wait(self, prompt_id: str, *, seconds: float = 120) -> dict[str, Any]:
        """The history of a queued graph, once it has ended: ``outputs`` by node id, ``status`` and more."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.get(f"/history/{prompt_id}"))
            return prompt_id in found

        self._until(ended, seconds, f"execute {prompt_id}")
        return found[prompt_id]

    def run(self, graph: Graph | dict[str, Any], *, seconds: float = 120, **extra_data: Any) -> dict[str, Any]:
        """Queue a graph and wait for it; a node that raises is an error. The outputs by node id."""
        history = self.wait(self.queue(graph, **extra_data), seconds=seconds)
        status = history["status"]
        if status["status_str"] != "success":
            raise ServerError(f"The run ended with {status['status_str']}: {json.dumps(status['messages'], indent=1)}")
        return history["outputs"]

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if (code := self._process.poll()) is not None:
                raise ServerError(f"ComfyUI ended with {code} and did not {what}:\n{self.log()[-8000:]}")
            if time.monotonic() > deadline:
                raise ServerError(f"ComfyUI did not {what} within {seconds:.0f} s:\n{self.log()[-8000:]}")
            time.sleep(0.1)

    def _answer(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise RefusedError(f"{method} {path}", response.status, content)
        return content


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
