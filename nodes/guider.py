"""NoiseCutMix for any sampler: a guider that gives each class its region of the predicted noise."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import node_helpers
import torch
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.resize import area_resize
from .latent_masks import BATCH_RULE, latent_masks, mask_batch
from .sockets import CATEGORY

POSITIVE_A = "What class A is. One row serves all samples; Encode Prompts (Batch) gives every sample its own."
POSITIVE_B = "What class B is. It adds one model row per sample and step: 1.5x the time of one prompt."
NEGATIVE = "What both classes should not show. It is not evaluated at cfg 1, which saves a third of the time."
MASK = (
    "Class A's share of every cell: 1 (white) is class A, 0 (black) is class B. Any resolution with the image's "
    f"proportions: areas are kept exactly. {BATCH_RULE}"
)
CFG = "Higher: closer to the prompts and less varied. 1: no guidance, and a third less time."

Conditioning = list[list[Any]]


class MixingGuider(comfy.samplers.CFGGuider):
    """ComfyUI's own guider with two positives, each confined to its mask on the latent grid.

    ComfyUI weights the x0 predictions of masked conditionings cell by cell before guidance, in one batched call with
    the negative. That is Eq. 1 of NoiseCutMix for every model whose prediction is affine in x0: noise, velocity, flow.
    So hooks, ControlNets, adapters and samplers meet what they would meet in a graph of stock nodes. What stock nodes
    cannot do is done here: masks by exact area, and any number of masks for any number of latents.
    """

    def set_mix(self, positive_a: Conditioning, positive_b: Conditioning, negative: Conditioning, mask: Tensor) -> None:
        """Set the conditionings and class A's mask (as ``mask_batch`` takes it); the latents' grid joins them later."""
        self._positives = (positive_a, positive_b)
        self._negative = negative
        self._mask = mask_batch(mask)

    def sample(self, noise: Tensor, latent_image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As ``CFGGuider.sample``.

        Raises:
            InputError: a mask or conditioning does not fit the latents.
        """
        if latent_image.is_nested:
            raise InputError(
                "The LATENT holds several tensors (such as picture and sound); NoiseCutMix mixes pictures only. "
                "Give it the picture's LATENT."
            )
        rows = latent_image.shape[0]
        for name, conditioning in (*zip("AB", self._positives, strict=True), ("negative", self._negative)):
            check_rows(f"The conditioning {name}", conditioning, rows)
        self.set_conds(self._joined(latent_masks(self._mask, latent_image.shape)), self._negative)
        return super().sample(noise, latent_image, *args, **kwargs)

    def _joined(self, share_a: Tensor) -> Conditioning:
        """Eq. 1, NoiseCutMix, as one list of positives: e = M e_A + (1 - M) e_B.

        One class alone is left as it came, which costs no rows for the other and is KSampler's sum to the last bit:
        the same rows in a larger batch round differently.
        """
        positive_a, positive_b = self._positives
        if positive_a is positive_b:
            return positive_a
        shares = ((positive_a, share_a), (positive_b, 1 - share_a))
        return [entry for positive, share in shares if bool(share.any()) for entry in _confine(positive, share)]


def check_rows(name: str, conditioning: Conditioning, rows: int) -> None:
    """Refuse a conditioning that has neither one row nor as many as there are samples.

    ComfyUI would cut or cycle other row counts silently, and a sample would get another one's prompt.
    """
    for embedding, _ in conditioning:
        if torch.is_tensor(embedding) and embedding.shape[0] not in (1, rows):
            raise InputError(
                f"{name} has {embedding.shape[0]} rows and the LATENT has {rows} samples; legal is "
                f"1 row for all, or {rows}. Give both the same batch size."
            )


def _confine(conditioning: Conditioning, share: Tensor) -> Conditioning:
    """Every entry of a conditioning with its weight times ``share``; regions that it has of its own stay."""
    return [
        node_helpers.conditioning_set_values([entry], {"mask": share * _own_mask(entry[1], share)})[0]
        for entry in conditioning
    ]


def _own_mask(options: dict[str, Any], share: Tensor) -> Tensor | float:
    if "mask" not in options:
        return 1.0
    own = mask_batch(options["mask"])
    own = area_resize(own, *share.shape[-2:])
    if len(own) > 1:
        own = own[torch.arange(len(share)) % len(own)]
    return own if share.ndim == 3 else own[:, None]


class NoiseCutMixGuider(io.ComfyNode):
    """For SamplerCustomAdvanced."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_NoiseCutMixGuider",
            display_name="NoiseCutMix Guider",
            category=CATEGORY,
            description="Mixes two classes in the predicted noise by a mask, for SamplerCustomAdvanced: any sampler, "
            "any sigmas, any model that predicts noise, velocity or flow.",
            inputs=[
                io.Model.Input("model", tooltip="The model that denoises, with whatever patches and LoRAs it carries."),
                io.Conditioning.Input("positive_a", tooltip=POSITIVE_A),
                io.Conditioning.Input("positive_b", tooltip=POSITIVE_B),
                io.Conditioning.Input("negative", tooltip=NEGATIVE),
                io.Mask.Input("mask", tooltip=MASK),
                io.Float.Input("cfg", default=7.5, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=CFG),
            ],
            outputs=[io.Guider.Output(display_name="guider", tooltip="To the guider input of SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive_a: Conditioning,
        positive_b: Conditioning,
        negative: Conditioning,
        mask: Tensor,
        cfg: float,
    ) -> io.NodeOutput:
        """Build the guider."""
        guider = MixingGuider(model)
        guider.set_mix(positive_a, positive_b, negative, mask)
        guider.set_cfg(cfg)
        return io.NodeOutput(guider)
