"""The types that travel along our own links.

A batch travels as one object and never as a ComfyUI list output: a list would map every node behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io

from ..ncm_lib.methods.base import Method
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.sample import ClassWeight, Sample

Prompts = io.Custom("NCM_PROMPTS")
"""tuple[str, ...]: one prompt per sample."""
ClassIds = io.Custom("NCM_CLASS_IDS")
"""tuple[tuple[int, int], ...]: class A and class B per sample."""
Classes = io.Custom("NCM_CLASSES")
"""ClassList."""
Weights = io.Custom("NCM_WEIGHTS")
"""tuple[float, ...]: class A's share per mask."""
SoftLabels = io.Custom("NCM_SOFT_LABEL")
"""SoftLabelBatch."""
Plans = io.Custom("NCM_PLAN")
"""PlanBatch."""

CATEGORY = "NoiseCutMix"


@dataclass(frozen=True, kw_only=True)
class SoftLabelBatch:
    """Soft labels of a batch and the classes that they are about."""

    classes: ClassList
    rows: tuple[tuple[ClassWeight, ...], ...]


@dataclass(frozen=True, kw_only=True)
class PlanBatch:
    """Some samples of a data set's plan."""

    dataset: str
    """Folder of the data set, below ComfyUI's output folder."""
    method: Method
    """The resolved config: grid and seed filled in."""
    count: int
    """Target size of the data set."""
    samples: tuple[Sample, ...]
