"""Loaders of small models, which take the places of ComfyUI's loaders in a workflow."""

from comfy_api.latest import io

from .tiny_models import FAMILIES, tiny_clip, tiny_controlnet, tiny_model, tiny_vae

FAMILY = io.Combo.Input("family", options=list(FAMILIES))


class TinyModel(io.ComfyNode):
    """In the place of CheckpointLoaderSimple."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_TinyModel",
            display_name="Tiny Model",
            category="testing",
            inputs=[FAMILY],
            outputs=[io.Model.Output("model"), io.Clip.Output("clip"), io.Vae.Output("vae")],
        )

    @classmethod
    def execute(cls, family: str) -> io.NodeOutput:
        """Make all three."""
        return io.NodeOutput(tiny_model(family), tiny_clip(family), tiny_vae(family))


class TinyUNET(io.ComfyNode):
    """In the place of UNETLoader."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_TinyUNET",
            display_name="Tiny UNET",
            category="testing",
            inputs=[FAMILY],
            outputs=[io.Model.Output("model")],
        )

    @classmethod
    def execute(cls, family: str) -> io.NodeOutput:
        """Make the model."""
        return io.NodeOutput(tiny_model(family))


class TinyCLIP(io.ComfyNode):
    """In the place of CLIPLoader or DualCLIPLoader."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_TinyCLIP",
            display_name="Tiny CLIP",
            category="testing",
            inputs=[FAMILY],
            outputs=[io.Clip.Output("clip")],
        )

    @classmethod
    def execute(cls, family: str) -> io.NodeOutput:
        """Make the text encoder."""
        return io.NodeOutput(tiny_clip(family))


class TinyVAE(io.ComfyNode):
    """In the place of VAELoader."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_TinyVAE",
            display_name="Tiny VAE",
            category="testing",
            inputs=[FAMILY],
            outputs=[io.Vae.Output("vae")],
        )

    @classmethod
    def execute(cls, family: str) -> io.NodeOutput:
        """Make the autoencoder."""
        return io.NodeOutput(tiny_vae(family))


class TinyControlNet(io.ComfyNode):
    """In the place of ControlNetLoader; it fits the family sd15."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NCMTest_TinyControlNet",
            display_name="Tiny ControlNet",
            category="testing",
            inputs=[],
            outputs=[io.ControlNet.Output("control_net")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Make the ControlNet."""
        return io.NodeOutput(tiny_controlnet())
