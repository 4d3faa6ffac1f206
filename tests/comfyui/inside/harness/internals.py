"""Ways to what the packs and the models hold inside; a graph cannot show it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import torch

from .comfyui import ComfyUI


def pack_module(comfy: ComfyUI, name: str) -> ModuleType:
    """The pack's own copy of a module, such as ``ncm_lib.maths.rng``."""
    package = comfy.nodes["NCM_SampleNoise"].__module__.removesuffix(".nodes.noise")
    return sys.modules[f"{package}.{name}"]


def testing_module(comfy: ComfyUI, name: str) -> ModuleType:
    """A module of the pack for tests."""
    package = comfy.nodes["NCMTest_Given"].__module__.removesuffix(".given")
    return sys.modules[f"{package}.{name}"]


@contextlib.contextmanager
def rows_of_calls(comfy: ComfyUI, family: str) -> Iterator[list[int]]:
    """How many rows each call of a tiny model's network had."""
    network = testing_module(comfy, "tiny_models").tiny_model(family).model.diffusion_model
    with rows_of_network(network) as rows:
        yield rows


@contextlib.contextmanager
def rows_of_network(network: torch.nn.Module) -> Iterator[list[int]]:
    """How many rows each call of a network had."""
    rows: list[int] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        yield rows
    finally:
        handle.remove()
