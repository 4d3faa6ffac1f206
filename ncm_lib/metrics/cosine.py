"""A last layer that sees directions only: unit weights on unit features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineLinear(nn.Linear):
    """Logits z_c = scale * cos(w_c, x): no class is likelier for longer weights, no image surer for longer features.

    Its parameters have the names and shapes of the linear layer whose place it takes; the bias is zero and stays so.

    Example:
        >>> layer = CosineLinear(2, 2, scale=30.0)
        >>> bool(torch.allclose(layer(torch.tensor([[3.0, 4.0]])), layer(torch.tensor([[0.3, 0.4]]))))
        True

    Reference:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019, 4.
    """

    def __init__(self, in_features: int, out_features: int, *, scale: float, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.scale = scale
        if bias:
            nn.init.zeros_(self.bias)
            self.bias.requires_grad_(False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of torch's own layers
        """The logits."""
        return self.scale * F.linear(F.normalize(input.float(), dim=-1), F.normalize(self.weight.float(), dim=1))


def last_linear(module: nn.Module) -> tuple[str, nn.Linear] | None:
    """Name and layer of a network's last linear layer, which gives its logits; None where it has none."""
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers else None


def see_directions(module: nn.Module, scale: float) -> bool:
    """Put a ``CosineLinear`` of the same weights in the place of the last linear layer; False where there is none."""
    found = last_linear(module)
    if found is None:
        return False
    name, layer = found
    parent, _, own = name.rpartition(".")
    other = CosineLinear(layer.in_features, layer.out_features, scale=scale, bias=layer.bias is not None)
    with torch.no_grad():
        other.weight.copy_(layer.weight)
    setattr(module.get_submodule(parent), own, other.to(layer.weight.device))
    return True


def unit_weights(module: nn.Module) -> float | None:
    """Bring the weights of a last ``CosineLinear`` to length 1, which changes none of its logits.

    A reader that takes the layer for a linear one then ranks the classes in the same order.

    Returns:
        Its scale; None where the last linear layer is an ordinary one.
    """
    found = last_linear(module)
    if found is None or not isinstance(found[1], CosineLinear):
        return None
    with torch.no_grad():
        found[1].weight.copy_(F.normalize(found[1].weight, dim=1))
    return found[1].scale
