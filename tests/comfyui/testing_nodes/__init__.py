"""A node pack for tests only, loaded by ComfyUI like any other."""

from .capture import Capture
from .given import Given
from .misbehaviour import Raise, Steps
from .spy import Spy
from .tiny_loaders import TinyCLIP, TinyControlNet, TinyModel, TinyUNET, TinyVAE

__all__ = ["comfy_entrypoint"]


async def comfy_entrypoint():
    """What ComfyUI asks for the nodes."""
    from comfy_api.latest import ComfyExtension

    class Extension(ComfyExtension):
        async def get_node_list(self):
            return [Capture, Given, Raise, Spy, Steps, TinyModel, TinyUNET, TinyCLIP, TinyVAE, TinyControlNet]

    return Extension()
