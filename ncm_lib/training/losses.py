"""Cross entropy of soft labels, with class weights and margins for long tails."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..typing import Float32, Float64

LDAM_SCALE = 30.0
"""What LDAM's published code multiplies cosines and margins with."""


def soft_cross_entropy(
    logits: Float32[Tensor, "n classes"],
    labels: Float32[Tensor, "n classes"],
    *,
    smoothing: float = 0.0,
    weights: Float32[Tensor, " classes"] | None = None,
    margins: Float32[Tensor, " classes"] | None = None,
) -> Float32[Tensor, " n"]:
    """The loss of every row: -sum_c w_c y_c log p_c.

    With margins D, p_c is the softmax in which class c alone gives up its margin (LDAM):

        p_c = exp(z_c - D_c) / (exp(z_c - D_c) + sum over j != c of exp(z_j))

    Args:
        logits: z.
        labels: y; rows sum to one.
        smoothing: share of every label that is spread over all classes.
        weights: w; all 1 without them.
        margins: D, in the logits' units; all 0 without them. LDAM's logits are cosines times ``LDAM_SCALE``
            (``metrics.cosine``), and so are its margins.

    Example:
        >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[0.25, 0.75]])).item()
        0.6931...

    Reference:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019.
    """
    if margins is None:
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing, reduction="none")
    labels = labels * (1 - smoothing) + smoothing / labels.shape[1]
    # row c of a sample's matrix: its logits, of which class c gives up the margin
    lowered = logits[:, None, :] - torch.diag(margins)
    # Eq. 13, Cao et al. 2019
    log_p = lowered.diagonal(dim1=1, dim2=2) - lowered.logsumexp(dim=2)
    return -(labels * log_p * (1 if weights is None else weights)).sum(dim=1)


def class_balanced_weights(counts: Float64[Tensor, " classes"], beta: float) -> Float32[Tensor, " classes"]:
    """Weights by the effective number of images: w_c = (1 - beta) / (1 - beta^n_c), with mean 1 over the classes.

    Args:
        counts: n, images per class; the weight of a class without images is 0.
        beta: in [0, 1).

    Reference:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.
    """
    # Eq. 5, Cui et al. 2019
    weights = torch.where(counts > 0, (1 - beta) / (1 - beta**counts).clamp(min=1e-12), 0.0)
    return (weights / weights[counts > 0].mean()).to(torch.float32)


def ldam_margins(counts: Float64[Tensor, " classes"], largest: float) -> Float32[Tensor, " classes"]:
    """Margins D_c = largest * (n_min / n_c)^(1/4), of cosines: the rarest class has the largest.

    Args:
        counts: n, images per class; a class without images gets the largest margin.
        largest: above 0.

    Reference:
        Cao et al., NeurIPS 2019, Eq. 12.
    """
    present = counts[counts > 0].min()
    return (largest * (present / counts.clamp(min=float(present))) ** 0.25).to(torch.float32)
