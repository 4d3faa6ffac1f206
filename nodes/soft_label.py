"""The label of a mask."""

from __future__ import annotations

import math

from comfy_api.latest import io, ui
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.sample import ClassWeight
from .latent_masks import BATCH_RULE, mask_batch
from .pictures import mask_pictures, shares_of
from .sockets import CATEGORY, Classes, ClassIds, SoftLabelBatch, SoftLabels

_LIMIT = 4096


class SoftLabel(io.ComfyNode):
    """Eq. 2 of NoiseCutMix as a node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_SoftLabel",
            display_name="Soft Label",
            category=CATEGORY,
            description="The label of each sample: class A's weight is the mean of its mask, class B has the rest. A "
            "picture shows mask and weights.",
            is_output_node=True,
            inputs=[
                io.Mask.Input(
                    "mask", tooltip=f"The mask that the sampler gets; it costs nothing to use it twice. {BATCH_RULE}"
                ),
                ClassIds.Input("class_ids", tooltip="The pair of classes of each sample, from Class Pair."),
                Classes.Input("classes", tooltip="The class list, from Class Pair."),
            ],
            outputs=[
                SoftLabels.Output(
                    id="soft_label",
                    display_name="soft label",
                    tooltip="One label per sample, for the Soft Label Writer.",
                )
            ],
        )

    @classmethod
    def execute(cls, mask: Tensor, class_ids: tuple[tuple[int, int], ...], classes: ClassList) -> io.NodeOutput:
        """Weigh the masks."""
        masks = mask_batch(mask)
        # sample k has mask k and pair k, each counted round; after their least common multiple all repeats
        count = math.lcm(len(masks), len(class_ids))
        if count > _LIMIT:
            raise InputError(
                f"{len(masks)} masks and {len(class_ids)} pairs of classes give {count} different labels; give as many "
                "masks as pairs, or one of either."
            )
        # Eq. 2, NoiseCutMix: y = w_A onehot(A) + w_B onehot(B), w_A = mean of the mask
        means = [float(share.double().mean()) for share in masks]
        rows = tuple(
            (
                ClassWeight(class_id=class_ids[k % len(class_ids)][0], weight=means[k % len(masks)]),
                ClassWeight(class_id=class_ids[k % len(class_ids)][1], weight=1 - means[k % len(masks)]),
            )
            for k in range(count)
        )
        shown = mask_pictures(masks[[k % len(masks) for k in range(count)]], [shares_of(row, classes) for row in rows])
        return io.NodeOutput(SoftLabelBatch(classes=classes, rows=rows), ui=ui.PreviewImage(shown, cls=cls))
