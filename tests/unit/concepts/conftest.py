"""Concepts for small models, in every layout that is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from ncm_lib.concepts import ConceptSet, LoraPair, class_tokens
from ncm_lib.engine.load import Model
from ncm_lib.plan.classes import ClassList

Pairs = dict[str, tuple[Tensor, Tensor]]


def projections(unet: nn.Module) -> list[str]:
    """Every to_q, to_k, to_v and to_out.0 of the UNet's attention layers."""
    return [name for name, _ in unet.named_modules() if re.search(r"\.attn[12]\.to_(q|k|v|out\.0)$", name)]


def random_pairs(unet: nn.Module, rank: int) -> Pairs:
    """(down, up) for every projection, each different."""
    generator = torch.Generator().manual_seed(0)
    pairs: Pairs = {}
    for name in projections(unet):
        out, into = unet.get_submodule(name).weight.shape
        pairs[name] = (
            torch.randn(rank, into, generator=generator) / 8,
            torch.randn(out, rank, generator=generator) / 8,
        )
    return pairs


def old_layout(pairs: Pairs) -> dict[str, Tensor]:
    """The keys that diffusers 0.21 and before gave to attention processors, as Diff-Mix published them."""
    tensors = {}
    for name, (down, up) in pairs.items():
        block, _, projection = name.rpartition(".to_")
        key = f"{block}.processor.to_{projection.removesuffix('.0')}_lora"
        tensors |= {f"{key}.down.weight": down, f"{key}.up.weight": up}
    return tensors


def published(folder: Path, names: Iterable[str], width: int, pairs: Pairs, steps: str = "last") -> dict[str, Tensor]:
    """Write a checkpoint as Diff-Mix published them; the vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = {f"<class_{k}>": torch.full((width,), float(k + 1)) + torch.arange(width) for k, _ in enumerate(names)}
    named = dict(zip(names, vectors, strict=True))
    content = {
        "learned_embeds_dict": vectors,
        "name2placeholder": named,
        "placeholder2name": {token: name for name, token in named.items()},
    }
    torch.save(content, folder / f"learned_embeds-steps-{steps}.bin")
    save_file(old_layout(pairs), folder / "pytorch_lora_weights.safetensors")
    return vectors


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_model: Model) -> Path:
    """A published checkpoint of twelve classes for the tiny model."""
    folder = tmp_path / "ckpts" / "cub" / "shot-1-lora-rank10"
    names = [f"Bird {number}" for number in range(11)] + ["Black footed Albatross"]
    published(folder, names, 32, random_pairs(tiny_model.family.unet, 4))
    return folder


@pytest.fixture
def make_concepts(tiny_model: Model) -> Callable[..., ConceptSet]:
    """Concepts of a few classes for the tiny model."""

    def make(count: int = 3, per_class: int = 1, scale: float = 1.0, seed: int = 0, **fields: object) -> ConceptSet:
        tokens = class_tokens(count, per_class)
        generator = torch.Generator().manual_seed(seed)
        words = [word for words in tokens for word in words.split()]
        names = tuple(f"bird {number}" for number in range(count))
        return ConceptSet(
            classes=ClassList(names=names, meta_class="bird", tokens=tokens),
            embeddings={"clip_l": {word: torch.randn(32, generator=generator) for word in words}},
            lora={
                name: LoraPair(down=down, up=up, scale=scale)
                for name, (down, up) in random_pairs(tiny_model.family.unet, 4).items()
            },
            **{"dataset": "cub", **fields},
        )

    return make


@pytest.fixture(scope="session")
def sd15_unet() -> UNet2DConditionModel:
    """SD 1.5's UNet, whose attention projections have random weights, and all else none: it takes 0.6 GB, not 3.4."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
    for name in projections(unet):
        layer = unet.get_submodule(name)
        layer.weight = nn.Parameter(torch.empty(layer.weight.shape).uniform_(-0.05, 0.05), requires_grad=False)
    return unet


@pytest.fixture(scope="session")
def sd15_checkpoint(tmp_path_factory: pytest.TempPathFactory, sd15_unet: UNet2DConditionModel) -> Path:
    """A published checkpoint of 200 classes at rank 10 for it."""
    folder = tmp_path_factory.mktemp("ckpts") / "cub" / "shot-1-lora-rank10"
    published(folder, [f"Bird {number}" for number in range(200)], 768, random_pairs(sd15_unet, 10))
    return folder
