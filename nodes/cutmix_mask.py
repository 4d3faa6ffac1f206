"""CutMix masks on the latent grid."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.masks import BoxClass, sample_cutmix_masks
from .noise import MAX_SEED
from .pictures import mask_pictures
from .sockets import CATEGORY, Weights

OWNERS: dict[str, BoxClass] = {"B (the paper)": "b", "A (its published code)": "a"}

ALPHA = (
    "How even the mixes are: 1 makes all areas alike, larger values come near to half and half, smaller ones leave a "
    "trace of one class. It costs nothing."
)
PLACEMENT = (
    "truncate: boxes are cut off at the border, as in the paper. inside: whole boxes, which give class A half of the "
    "label on average."
)
BOX_CLASS = "Which class is made inside of the box. A is what the published code does: A then gets a third on average."
ROUNDING = "reference: boxes lose a cell where their side is odd, as in the published code. exact: they keep it."


class CutMixMask(io.ComfyNode):
    """The masks that ``sample_cutmix_masks`` draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_CutMixMask",
            display_name="CutMix Mask",
            category=CATEGORY,
            description="Draws a random box per sample on the latent grid, so that the mask is binary there and its "
            "mean is the label exactly. White is class A.",
            is_output_node=True,
            inputs=[
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Takes the grid from this latent; width and height then do not count.",
                ),
                io.Int.Input(
                    "width",
                    default=64,
                    min=1,
                    max=4096,
                    tooltip="Grid width in latent cells: 64 for 512 pixels of SD 1.5.",
                ),
                io.Int.Input("height", default=64, min=1, max=4096, tooltip="Grid height in latent cells."),
                io.Int.Input(
                    "batch_size",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="How many masks. 0: one for each sample of the linked latent, or a single one without it.",
                ),
                io.Float.Input("alpha", default=1.0, min=0.001, max=1000.0, step=0.1, round=0.001, tooltip=ALPHA),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Other seeds draw other boxes. Mask k depends on the seed and k only, not on the batch "
                    "size.",
                ),
                io.Combo.Input("placement", options=["truncate", "inside"], default="truncate", tooltip=PLACEMENT),
                io.Combo.Input("box_class", options=list(OWNERS), default="B (the paper)", tooltip=BOX_CLASS),
                io.Combo.Input("rounding", options=["reference", "exact"], default="reference", tooltip=ROUNDING),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="One mask per sample: 1 is class A, 0 is class B."),
                Weights.Output(id="weights", display_name="weights of A", tooltip="Class A's share of each mask."),
            ],
        )

    @classmethod
    def execute(
        cls,
        width: int,
        height: int,
        batch_size: int,
        alpha: float,
        seed: int,
        placement: Any,
        box_class: str,
        rounding: Any,
        latent: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Draw the masks."""
        count = batch_size or 1
        if latent is not None:
            shape = latent["samples"].shape
            if len(shape) not in (4, 5):
                raise InputError(f"The latents have the shape {list(shape)}; a mask needs pictures, [N, C, h, w].")
            height, width = shape[-2:]
            count = batch_size or shape[0]
        masks = sample_cutmix_masks(
            count,
            height,
            width,
            alpha=alpha,
            seed=seed,
            placement=placement,
            rounding=rounding,
            box_class=OWNERS[box_class],
        )
        weights = tuple(float(weight) for weight in masks.weight_a)
        planes = masks.mask[:, 0]
        shown = mask_pictures(planes, [[("A", weight), ("B", 1 - weight)] for weight in weights])
        return io.NodeOutput(planes, weights, ui=ui.PreviewImage(shown, cls=cls))
