"""ComfyUI in this process: booted once, then fed with graphs."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import logging
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .base import make_base
from .graph import Graph
from .run import Failure, GraphError, Run, refusal

Listener = Callable[[str, Any], None]


class ComfyUI:
    """The running ComfyUI.

    Attributes:
        base: Its base directory, with ``input``, ``output``, ``models`` and ``custom_nodes``.
        nodes: Every node class by its id.
        log: What was logged while it booted.
    """

    def __init__(self, base: Path):
        make_base(base)
        sys.argv = ["main.py", "--cpu", "--base-directory", str(base), "--disable-api-nodes",
                    "--database-url", "sqlite:///:memory:"]  # fmt: skip
        # ComfyUI's main module wraps the standard streams and logs to them; pytest has its own that come and go.
        handlers = list(logging.root.handlers)
        with contextlib.redirect_stdout(_throwaway()), contextlib.redirect_stderr(_throwaway()):
            import main
        logging.root.handlers[:] = handlers

        import execution
        from server import PromptServer

        import nodes

        class Server(PromptServer):
            """ComfyUI's server, which listens nowhere, and tells the test what it would tell the browser."""

            listener: Listener | None = None

            def send_sync(self, event: Any, data: Any, sid: str | None = None) -> None:
                if self.listener is not None:
                    self.listener(event, data)

        log = _Records()
        logging.root.addHandler(log)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._server = Server(loop)
        loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=True, init_api_nodes=False))
        main.hijack_progress(self._server)
        logging.root.removeHandler(log)

        self.base = base
        self.nodes = nodes.NODE_CLASS_MAPPINGS
        self.log = log.lines
        self._execution = execution
        self._interrupt = nodes.interrupt_processing

    def interrupt(self, value: bool = True) -> None:
        """Press Cancel: the running node ends at its next step; every run starts with the flag cleared."""
        self._interrupt(value)

    def interrupted(self) -> bool:
        """Whether the flag is set that Cancel sets."""
        import comfy.model_management

        return comfy.model_management.processing_interrupted()

    def executor(self) -> Any:
        """A ComfyUI executor with an empty cache, for tests about what is computed again."""
        return self._execution.PromptExecutor(
            self._server,
            cache_type=self._execution.CacheType.CLASSIC,
            cache_args={"lru": 0, "ram": 0.0, "ram_inactive": 0.0},
        )

    def run(
        self,
        graph: Graph | dict[str, Any],
        *,
        check: bool = True,
        executor: Any = None,
        on_event: Listener | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> Run:
        """Validate a graph and execute it, as the queue does.

        Args:
            graph: A graph, or a prompt in the API format, which stays as it is.
            check: Whether a node that raises, or an interrupt, is an error. A graph that is refused always is one.
            executor: What ``executor()`` made, to share a cache with an earlier run.
            on_event: Called with every message to the browser, within the step that sends it: ``("progress", {...})``.
            extra_pnginfo: What the browser sends along for the image files' metadata: ``{"workflow": {...}}``.

        Raises:
            GraphError: The graph is refused, or, with ``check``, a node raises or the run is interrupted.
        """
        prompt = copy.deepcopy(graph.prompt if isinstance(graph, Graph) else graph)
        prompt_id = str(uuid.uuid4())
        valid, error, outputs, node_errors = asyncio.run(self._execution.validate_prompt(prompt_id, prompt, None))
        # ComfyUI runs what is left of a graph that is half valid; no test wants that.
        if not valid or node_errors:
            raise GraphError(refusal(error, node_errors))

        events: list[tuple[str, Any]] = []

        def listener(event: str, data: Any) -> None:
            events.append((event, data))
            if on_event is not None:
                on_event(event, data)

        captured = self._captured()
        captured.clear()
        executor = executor or self.executor()
        extra_data = {"client_id": "test"} | ({"extra_pnginfo": extra_pnginfo} if extra_pnginfo else {})
        self._server.listener = listener
        try:
            executor.execute(prompt, prompt_id, extra_data, outputs)
        finally:
            self._server.listener = None
        run = Run(
            captured=dict(captured),
            ui=executor.history_result["outputs"],
            executed=[data["node"] for event, data in events if event == "executing" and data["node"] is not None],
            events=events,
            failure=_failure(executor.status_messages),
            interrupted=any(event == "execution_interrupted" for event, _ in executor.status_messages),
        )
        if check and (run.failure or run.interrupted):
            raise GraphError(str(run.failure or "The run was interrupted."))
        return run

    def _captured(self) -> dict[str, Any]:
        return sys.modules[self.nodes["NCMTest_Capture"].__module__].CAPTURED


def _failure(messages: list[tuple[str, dict[str, Any]]]) -> Failure | None:
    for event, data in messages:
        if event == "execution_error":
            return Failure(
                node_id=data["node_id"],
                node_type=data["node_type"],
                exception_type=data["exception_type"],
                message=data["exception_message"].strip(),
                traceback="".join(data["traceback"]),
            )
    return None


def _throwaway() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


class _Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")
