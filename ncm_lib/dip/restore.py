"""Restoring images by a network that nobody has trained: the deep image prior."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..maths.rng import Seeds, row_seeds
from .checks import check_task, check_values, clean_batch, image_batch, mask_batch
from .config import DipConfig
from .fit import Dtype, Fitting, Run
from .history import OnStep, Restoration
from .tasks import Fit, Inpaint, Problem, SuperResolve, Task


def restore(
    image: Tensor,
    task: Task,
    *,
    config: DipConfig | None = None,
    mask: Tensor | None = None,
    factor: int = 4,
    clean: Tensor | None = None,
    seed: Seeds = 0,
    device: str | torch.device | None = None,
    dtype: Dtype = "float32",
    channels_last: bool = True,
    compile: bool = False,  # noqa: A002 - the name that torch gives it
    measure_every: int = 10,
    on_step: OnStep | None = None,
) -> Restoration:
    """Restore images without any training data: a network learns the image before it learns its faults.

    min over theta of E(A(f_theta(z)), x): f is an untrained network, z its input, x the image, and A what spoilt it
    (nothing, unknown pixels, or a smaller size). The result is an exponential average of f's outputs at the iteration
    where their variance over a window was lowest.

    Every image has a network, and random streams, of its own: its result does not depend on the others of the batch.

    Args:
        image: x, [C, H, W] or [N, C, H, W], 1 or 3 channels, values in [0, 1], at least 8x8 pixels.
        task: denoise; inpaint (needs ``mask``); super-resolve (by ``factor``); reconstruct: the image as it is, all
            iterations, no early stopping.
        config: network, input, loss, iterations; the paper's by default.
        mask: inpaint: 1 where a pixel is unknown, 0 where it is known; one for all images or one for each, [H, W],
            [N, H, W] or [N, 1, H, W].
        factor: super-resolve: 2 or 4.
        clean: what the results are measured against as they come; nothing else looks at it.
        seed: in [0, 2**63): one per image, or one from which the images' seeds are drawn.
        device: where to compute; the image's own by default. Another device, or another number of threads, rounds
            differently, and training magnifies that.
        dtype: float32; float64; bfloat16: the network computes in bfloat16 where that is safe (autocast).
        channels_last: keep tensors as [N, H, W, C], which is quicker on most machines.
        compile: let torch compile the network first, which takes a minute and pays for long runs.
        measure_every: iterations between two measurements against ``clean``.
        on_step: called after every iteration; what it raises ends the run.

    Returns:
        The restored images, their histories, and the iterations that they are from.

    Raises:
        InputError: an argument is out of its range or does not fit the others, or training gave nothing finite.

    Example:
        >>> from ncm_lib.dip import SkipConfig
        >>> config = DipConfig(network=SkipConfig(widths=(4, 8)), iterations=5)
        >>> restored = restore(torch.rand(3, 16, 16), "denoise", config=config)
        >>> restored.image.shape, len(restored.history[0].loss)
        (torch.Size([3, 16, 16]), 5)

    Reference:
        Ulyanov, Vedaldi, Lempitsky, Deep Image Prior, CVPR 2018. Stopping: Wang et al., TMLR 2023, arXiv 2112.06074.
    """
    config = config or DipConfig()
    if task == "reconstruct":
        config = config.model_copy(update={"stopping": None})
    if measure_every < 1:
        raise InputError(f"measure_every is {measure_every}; it must be at least 1.")
    check_task(task, factor, masked=mask is not None)
    how = Run(dtype=dtype, channels_last=channels_last, compile=compile)
    kind = torch.float64 if dtype == "float64" else torch.float32
    # ComfyUI runs its nodes in inference mode, whose tensors cannot be trained with: they are copied outside of it
    with torch.inference_mode(False), torch.enable_grad():
        images = image_batch(image).detach().to(device=device, dtype=kind, copy=True)
        masks = None if mask is None else mask_batch(mask, images).clone()
        check_values(images, masks)
        goals = None if clean is None else clean_batch(clean, images, factor if task == "super-resolve" else 1)
        seeds = row_seeds(seed, len(images))
        fits = [
            Fitting(
                _problem(task, images[k : k + 1], None if masks is None else masks[k : k + 1], factor, config),
                config,
                seed=seeds[k],
                how=how,
                clean=None if goals is None else goals[k : k + 1],
                measure_every=measure_every,
            ).run(place=(k, len(images)), on_step=on_step)
            for k in range(len(images))
        ]
        restored = torch.cat([done.image for done in fits])
    return Restoration(
        image=restored if image.ndim == 4 else restored[0],
        history=tuple(done.history for done in fits),
        stopped_at=tuple(done.stopped_at for done in fits),
    )


def _problem(task: Task, image: Tensor, mask: Tensor | None, factor: int, config: DipConfig) -> Problem:
    if mask is not None:
        return Inpaint(image, mask, keep_known=config.keep_known)
    return SuperResolve(image, factor) if task == "super-resolve" else Fit(image)
