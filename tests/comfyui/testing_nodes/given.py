"""A node that gives what the test put into the graph."""

from typing import Any

from comfy_api.latest import io


class Given(io.ComfyNode):
    """The way of tensors from a test into a graph; ComfyUI does not mind an input that JSON could not hold."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_Given",
            display_name="Given",
            category="testing",
            inputs=[io.AnyType.Input("value")],
            outputs=[io.AnyType.Output("given")],
        )

    @classmethod
    def execute(cls, value: Any) -> io.NodeOutput:
        """Give it on."""
        return io.NodeOutput(value)
