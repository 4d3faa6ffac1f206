"""A small picture, and a network that learns it in no time."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from torch import Tensor

from ncm_lib.dip import DipConfig, InputConfig, SkipConfig

torch.set_num_threads(1)


@pytest.fixture
def picture() -> Tensor:
    """[3, 24, 20]: smooth colours with an edge, from 0 to 1."""
    y, x, c = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 20), torch.arange(3.0), indexing="ij")
    waves = 0.5 + 0.3 * torch.sin(5 * x + 3 * y + c)
    return torch.where(x + y > 1, waves, waves - 0.2).permute(2, 0, 1).clamp(0, 1)


@pytest.fixture
def quick() -> DipConfig:
    """Twelve iterations of a network with two narrow scales."""
    return DipConfig(network=SkipConfig(widths=(4, 6)), input=InputConfig(channels=4), iterations=12)


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Shapes and types go unchecked by annotations, as without jaxtyping: the library's own messages must do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
