"""A photograph to try restoration on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.rng import uniforms
from .sockets import CATEGORY

_FILE = Path(__file__).resolve().parent.parent / "ckpts" / "demo" / "photograph.png"


class LoadDemoPhotograph(io.ComfyNode):
    """Load Image reads ComfyUI's input folder only, and a shipped workflow must find its picture everywhere."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_LoadDemoPhotograph",
            display_name="Load Demo Photograph",
            category=CATEGORY,
            description="A small photograph of a cat that comes with this pack, for the shipped workflow of the Deep "
            "Image Prior. Take Load Image for your own.",
            inputs=[],
            outputs=[
                io.Image.Output(display_name="image", tooltip="96 x 96 pixels, in colour."),
                io.Mask.Output(display_name="mask", tooltip="Half of its pixels, drawn at random, to be painted anew."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Read it."""
        if not _FILE.is_file():
            raise InputError("The file ckpts/demo/photograph.png of this node pack is missing; install the pack again.")
        with Image.open(_FILE) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
        image = torch.from_numpy(pixels)[None]
        height, width = image.shape[1:3]
        holes = uniforms(0, "demo_mask", 0, height, width) < 0.5
        return io.NodeOutput(image, torch.from_numpy(holes.astype(np.float32))[None])
