"""Diffusion-based data augmentation for image classifiers. Names load on first use, so importing this is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .concepts.concept_set import ConceptSet as ConceptSet
    from .concepts.read import read_concepts as read_concepts
    from .concepts.save import save_concepts as save_concepts
    from .dip.config import DipConfig as DipConfig
    from .dip.history import Restoration as Restoration
    from .dip.restore import restore as restore
    from .engine.concepts import load_concepts as load_concepts
    from .engine.generate import generate as generate
    from .engine.invert import invert as invert
    from .engine.load import load_model as load_model
    from .engine.ray_run import generate_with_ray as generate_with_ray
    from .engine.settings import RenderSettings as RenderSettings
    from .engine.shards import Shard as Shard
    from .engine.speed import Speed as Speed
    from .errors import InputError as InputError
    from .errors import MissingExtraError as MissingExtraError
    from .maths.interpolation import circle_angle as circle_angle
    from .maths.interpolation import circle_coefficients as circle_coefficients
    from .maths.interpolation import circle_interpolate as circle_interpolate
    from .maths.interpolation import slerp as slerp
    from .maths.inversion import ddim_step as ddim_step
    from .maths.labels import soft_labels as soft_labels
    from .maths.masks import Box as Box
    from .maths.masks import cutmix_box as cutmix_box
    from .maths.masks import plan_cutmix as plan_cutmix
    from .maths.masks import sample_cutmix_masks as sample_cutmix_masks
    from .maths.mixing import guide as guide
    from .maths.mixing import mix_predictions as mix_predictions
    from .maths.resize import area_resize as area_resize
    from .maths.rng import sample_noise as sample_noise
    from .maths.rng import sample_seeds as sample_seeds
    from .maths.schedules import LinearSchedule as LinearSchedule
    from .maths.schedules import ScaledLinearSchedule as ScaledLinearSchedule
    from .maths.schedules import forward_noise as forward_noise
    from .methods.da_fusion import DAFusion as DAFusion
    from .methods.diff_aug import DiffAug as DiffAug
    from .methods.diff_ii import DiffII as DiffII
    from .methods.diff_mix import DiffMix as DiffMix
    from .methods.noisecutmix import NoiseCutMix as NoiseCutMix
    from .methods.real_filter import RealFilter as RealFilter
    from .methods.real_guidance import RealGuidance as RealGuidance
    from .methods.real_mix import RealMix as RealMix
    from .methods.sd_random import SDRandom as SDRandom
    from .metrics.classifier import load_classifier as load_classifier
    from .metrics.clip_score import ClipScore as ClipScore
    from .metrics.evaluate import evaluate as evaluate
    from .metrics.filter import filter_dataset as filter_dataset
    from .metrics.label_probability import LabelProbability as LabelProbability
    from .plan.classes import ClassList as ClassList
    from .plan.prompts import class_prompts as class_prompts
    from .sources.benchmarks import load_benchmark as load_benchmark
    from .sources.benchmarks import save_list as save_list
    from .sources.listing import SourceListing as SourceListing
    from .sources.load import load_source as load_source
    from .sources.pool import InversionPool as InversionPool
    from .store.export import export as export
    from .store.index import index as index
    from .store.reader import SyntheticDataset as SyntheticDataset
    from .store.repair import repair as repair
    from .store.verify import verify as verify
    from .training.classifier import train_classifier as train_classifier
    from .training.classifier_config import ClassifierTraining as ClassifierTraining
    from .training.compare import compare as compare
    from .training.concepts import train_concepts as train_concepts
    from .training.concepts_config import ConceptTraining as ConceptTraining
    from .training.splits import long_tail_counts as long_tail_counts
    from .version import __version__ as __version__

_HOMES = {
    "Box": "maths.masks",
    "ClassList": "plan.classes",
    "ClassifierTraining": "training.classifier_config",
    "ClipScore": "metrics.clip_score",
    "ConceptSet": "concepts.concept_set",
    "ConceptTraining": "training.concepts_config",
    "DAFusion": "methods.da_fusion",
    "DiffAug": "methods.diff_aug",
    "DiffII": "methods.diff_ii",
    "DiffMix": "methods.diff_mix",
    "DipConfig": "dip.config",
    "InputError": "errors",
    "InversionPool": "sources.pool",
    "LabelProbability": "metrics.label_probability",
    "LinearSchedule": "maths.schedules",
    "MissingExtraError": "errors",
    "NoiseCutMix": "methods.noisecutmix",
    "RealFilter": "methods.real_filter",
    "RealGuidance": "methods.real_guidance",
    "RealMix": "methods.real_mix",
    "RenderSettings": "engine.settings",
    "Restoration": "dip.history",
    "SDRandom": "methods.sd_random",
    "ScaledLinearSchedule": "maths.schedules",
    "Shard": "engine.shards",
    "SourceListing": "sources.listing",
    "Speed": "engine.speed",
    "SyntheticDataset": "store.reader",
    "__version__": "version",
    "area_resize": "maths.resize",
    "circle_angle": "maths.interpolation",
    "circle_coefficients": "maths.interpolation",
    "circle_interpolate": "maths.interpolation",
    "class_prompts": "plan.prompts",
    "compare": "training.compare",
    "cutmix_box": "maths.masks",
    "ddim_step": "maths.inversion",
    "evaluate": "metrics.evaluate",
    "export": "store.export",
    "filter_dataset": "metrics.filter",
    "forward_noise": "maths.schedules",
    "generate": "engine.generate",
    "generate_with_ray": "engine.ray_run",
    "guide": "maths.mixing",
    "index": "store.index",
    "invert": "engine.invert",
    "load_benchmark": "sources.benchmarks",
    "load_classifier": "metrics.classifier",
    "load_concepts": "engine.concepts",
    "load_model": "engine.load",
    "load_source": "sources.load",
    "long_tail_counts": "training.splits",
    "mix_predictions": "maths.mixing",
    "plan_cutmix": "maths.masks",
    "read_concepts": "concepts.read",
    "repair": "store.repair",
    "restore": "dip.restore",
    "sample_cutmix_masks": "maths.masks",
    "sample_noise": "maths.rng",
    "sample_seeds": "maths.rng",
    "save_concepts": "concepts.save",
    "save_list": "sources.benchmarks",
    "slerp": "maths.interpolation",
    "soft_labels": "maths.labels",
    "train_classifier": "training.classifier",
    "train_concepts": "training.concepts",
    "verify": "store.verify",
}

__all__ = [*sorted(_HOMES)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
