"""Nodes that fail, or take their time."""

from comfy.utils import ProgressBar
from comfy_api.latest import io


class Raise(io.ComfyNode):
    """Raises."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_Raise",
            display_name="Raise",
            category="testing",
            inputs=[io.String.Input("message")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, message: str) -> io.NodeOutput:
        """Raise ValueError."""
        raise ValueError(message)


class Steps(io.ComfyNode):
    """Does nothing, step by step, as a sampler would: with progress, and ready to be interrupted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_Steps",
            display_name="Steps",
            category="testing",
            inputs=[io.Int.Input("steps", min=1)],
            outputs=[io.Int.Output("done")],
        )

    @classmethod
    def execute(cls, steps: int) -> io.NodeOutput:
        """Count to ``steps``."""
        bar = ProgressBar(steps)
        for _ in range(steps):
            bar.update(1)
        return io.NodeOutput(steps)
