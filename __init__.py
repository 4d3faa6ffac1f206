"""NoiseCutMix as a ComfyUI node pack: put this folder into ``custom_nodes``. The Python library is ``ncm_lib``."""

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint():  # noqa: ANN201, its type is ComfyUI's, which nothing may import before it is asked for
    """ComfyUI calls this to get the nodes."""
    from .nodes import Extension  # noqa: PLC0415

    return Extension()
