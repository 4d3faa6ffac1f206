"""Pure functions on tensors and arrays: torch, numpy and scipy only."""

from .interpolation import angle_between, circle_angle, circle_coefficients, circle_interpolate, slerp
from .inversion import ddim_step
from .labels import soft_labels
from .masks import Box, CutMixMasks, CutMixPlan, cutmix_box, plan_cutmix, render_boxes, sample_cutmix_masks
from .mixing import guide, mix_predictions
from .resize import area_resize
from .rng import keyed_permutation, sample_noise, sample_seeds, uniforms
from .schedules import LinearSchedule, NoiseSchedule, ScaledLinearSchedule, forward_noise

__all__ = [
    "Box",
    "CutMixMasks",
    "CutMixPlan",
    "LinearSchedule",
    "NoiseSchedule",
    "ScaledLinearSchedule",
    "angle_between",
    "area_resize",
    "circle_angle",
    "circle_coefficients",
    "circle_interpolate",
    "cutmix_box",
    "ddim_step",
    "forward_noise",
    "guide",
    "keyed_permutation",
    "mix_predictions",
    "plan_cutmix",
    "render_boxes",
    "sample_cutmix_masks",
    "sample_noise",
    "sample_seeds",
    "slerp",
    "soft_labels",
    "uniforms",
]
