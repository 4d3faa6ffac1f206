"""Ways to what the packs and the models hold inside; a graph cannot show it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from .comfyui import ComfyUI


def our_module(comfy: ComfyUI, name: str) -> ModuleType:
    """The pack's own copy of a module, such as ``ncm_lib.maths.rng``."""
    package = comfy.nodes["NCM_SampleNoise"].__module__.removesuffix(".nodes.noise")
    return sys.modules[f"{package}.{name}"]


def helper_module(comfy: ComfyUI, name: str) -> ModuleType:
    """A module of the pack for tests."""
    package = comfy.nodes["NCMTest_Given"].__module__.removesuffix(".given")
    return sys.modules[f"{package}.{name}"]


@contextlib.contextmanager
def rows_of_calls(comfy: ComfyUI, family: str) -> Iterator[list[int]]:
    """How many rows each call of a tiny model's network had."""
    network = helper_module(comfy, "tiny_models").tiny_model(family).model.diffusion_model
    with rows_of_network(network) as rows:
        yield rows


@contextlib.contextmanager
def rows_of_network(network: torch.nn.Module) -> Iterator[list[int]]:
    """How many rows each call of a network had."""
    rows: list[int] = []

    def count(_: torch.nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
        rows.append(len(inputs[0] if inputs else named["x"]))

    handle = network.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()
