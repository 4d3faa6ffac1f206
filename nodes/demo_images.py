"""Two pictures to try inversion on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from ..ncm_lib.errors import InputError
from .sockets import CATEGORY

_FOLDER = Path(__file__).resolve().parent.parent / "ckpts" / "demo" / "images"


class LoadDemoImages(io.ComfyNode):
    """Load Image reads ComfyUI's input folder only, and a shipped workflow must find its pictures everywhere."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_LoadDemoImages",
            display_name="Load Demo Images",
            category=CATEGORY,
            description="Two small photographs of bananas that come with this pack, for the shipped workflow of "
            "Diff-II. Take Load Image and Batch Images for your own.",
            inputs=[],
            outputs=[io.Image.Output(display_name="images", tooltip="A batch of two, 64 x 64 pixels, one class.")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Read them."""
        files = sorted(_FOLDER.glob("*.png"))
        if not files:
            raise InputError("The folder ckpts/demo/images of this node pack is missing; install the pack again.")
        pictures = [np.asarray(Image.open(file).convert("RGB"), dtype=np.float32) / 255 for file in files]
        return io.NodeOutput(torch.from_numpy(np.stack(pictures)))
