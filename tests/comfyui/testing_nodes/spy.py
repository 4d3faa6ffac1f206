"""A node that looks over the sampler's shoulder."""

from typing import Any

from comfy_api.latest import io


class Spy(io.ComfyNode):
    """Gives the model on, and a list that every step of sampling appends to: the masks of the positives."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_Spy",
            display_name="Spy",
            category="testing",
            inputs=[io.Model.Input("model")],
            outputs=[io.Model.Output("spied"), io.AnyType.Output("masks")],
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        """Hook in behind the model and before guidance."""
        seen = []

        def look(args: dict[str, Any]) -> Any:
            seen.append([cond.get("mask") for cond in args["conds"][0]])
            return args["conds_out"]

        spied = model.clone()
        spied.set_model_sampler_pre_cfg_function(look)
        return io.NodeOutput(spied, seen)
