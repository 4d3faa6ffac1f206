"""A node that keeps what it gets."""

from typing import Any

from comfy_api.latest import io

CAPTURED: dict[str, Any] = {}


class Capture(io.ComfyNode):
    """Keeps the very object that arrives, so that a test can look at real tensors."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_Capture",
            display_name="Capture",
            category="testing",
            inputs=[io.AnyType.Input("value"), io.String.Input("key", default="value")],
            outputs=[],
            is_output_node=True,
            # A list that would map this node is one value, too.
            is_input_list=True,
            not_idempotent=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> float:
        """Never the same, so that it always runs."""
        return float("nan")

    @classmethod
    def execute(cls, value: list[Any], key: list[str]) -> io.NodeOutput:
        """Keep the value, or the list of values where the graph makes several of one."""
        CAPTURED[key[0]] = value[0] if len(value) == 1 else value
        return io.NodeOutput()
