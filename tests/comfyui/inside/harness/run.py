"""What came of a graph that was executed, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class GraphError(AssertionError):
    """ComfyUI refused a graph, or a node raised."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a node raised."""

    node_id: str
    node_type: str
    exception_type: str
    message: str
    traceback: str

    def __str__(self) -> str:
        return f"{self.node_type} (node {self.node_id}) raised {self.exception_type}: {self.message}\n{self.traceback}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a graph.

    Attributes:
        captured: What each ``NCMTest_Capture`` got, by its key.
        ui: What each output node showed, by its id: ``{"images": [{"filename": ..., "subfolder": ..., "type": ...}]}``.
        executed: Ids of the nodes that ran, in order; what came from the cache is not among them.
        events: Everything that the browser would have been told: name and data.
        failure: What a node raised; None where none did.
        interrupted: Whether the run ended because somebody asked for it.
    """

    captured: dict[str, Any]
    ui: dict[str, dict[str, list]]
    executed: list[str]
    events: list[tuple[str, Any]]
    failure: Failure | None
    interrupted: bool


def refusal(error: dict[str, Any] | None, node_errors: dict[str, dict[str, Any]]) -> str:
    """What ComfyUI's validation says about a graph, one line per fault."""
    lines = [f"{error['message']} {error['details']}".strip()] if error and not node_errors else []
    for node_id, faults in node_errors.items():
        for fault in faults["errors"]:
            lines.append(f"{faults['class_type']} (node {node_id}): {fault['message']}: {fault['details']}")
    return "\n".join(lines)
