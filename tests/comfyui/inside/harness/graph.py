"""A graph in the format that ComfyUI's queue takes, written tersely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Link = list[str | int]


@dataclass(frozen=True)
class Node:
    """One node of a graph; ``node[1]`` is the link to its second output."""

    id: str

    def __getitem__(self, slot: int) -> Link:
        return [self.id, slot]


class Graph:
    """A graph that is built node by node.

    Example:
        >>> graph = Graph()
        >>> latent = graph.add("EmptyLatentImage", width=64, height=64, batch_size=2)
        >>> _ = graph.capture("latent", latent[0])
        >>> graph.prompt["2"]
        {'class_type': 'NCMTest_Capture', 'inputs': {'value': ['1', 0], 'key': 'latent'}}
    """

    def __init__(self):
        self.prompt: dict[str, dict[str, Any]] = {}

    def add(self, class_type: str, /, **inputs: Any) -> Node:
        """Append a node; its inputs are values or links."""
        node = Node(str(len(self.prompt) + 1))
        self.prompt[node.id] = {"class_type": class_type, "inputs": inputs}
        return node

    def capture(self, key: str, value: Link) -> Node:
        """Append an output node that keeps what it gets, for the test to read as ``run.captured[key]``."""
        return self.add("NCMTest_Capture", value=value, key=key)
