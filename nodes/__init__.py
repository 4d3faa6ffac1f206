"""The ComfyUI nodes of NoiseCutMix: thin adapters of ``ncm_lib``, and the only code that imports ``comfy``."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .circle import CircleInterpolation
from .class_pair import ClassPair
from .cutmix_mask import CutMixMask
from .deep_image_prior import DeepImagePrior
from .demo_images import LoadDemoImages
from .demo_model import LoadDemoModel
from .demo_photograph import LoadDemoPhotograph
from .encode_prompts import EncodePrompts
from .forward_noise import ForwardNoise
from .guider import NoiseCutMixGuider
from .inversion import DDIMInversion
from .load_concepts import LoadConcepts
from .noise import NoiseFromLatent, SampleNoise
from .plan_sample import PlanSample
from .sampler import DualPromptMixedSampler
from .sigmas import NamedSigmas
from .soft_label import SoftLabel
from .soft_label_writer import SoftLabelWriter
from .two_stage import TwoStageConditioning

__all__ = ["Extension"]


class Extension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes, in the order of a graph that uses them."""
        return [
            LoadDemoModel,
            LoadConcepts,
            ClassPair,
            EncodePrompts,
            CutMixMask,
            DualPromptMixedSampler,
            NoiseCutMixGuider,
            NamedSigmas,
            SampleNoise,
            NoiseFromLatent,
            SoftLabel,
            PlanSample,
            SoftLabelWriter,
            DDIMInversion,
            CircleInterpolation,
            TwoStageConditioning,
            LoadDemoImages,
            ForwardNoise,
            DeepImagePrior,
            LoadDemoPhotograph,
        ]
