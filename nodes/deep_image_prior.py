"""Restoring pictures by a network that nobody has trained."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io, ui
from comfy_execution.utils import get_executing_context
from PIL import Image
from server import PromptServer
from torch import Tensor

from ..ncm_lib.dip.config import DipConfig, InputConfig, SkipConfig, StoppingConfig, UNetConfig
from ..ncm_lib.dip.history import Step
from ..ncm_lib.dip.restore import restore
from ..ncm_lib.dip.tasks import Task
from ..ncm_lib.errors import InputError
from .noise import MAX_SEED
from .sockets import CATEGORY

TASKS: dict[str, tuple[Task, int]] = {
    "denoise": ("denoise", 4),
    "inpaint": ("inpaint", 4),
    "enlarge 2x": ("super-resolve", 2),
    "enlarge 4x": ("super-resolve", 4),
    "reconstruct": ("reconstruct", 4),
}
NETWORKS: dict[str, SkipConfig | UNetConfig] = {
    "small": SkipConfig(widths=(16, 32, 32)),
    "paper": SkipConfig(),
    "u-net": UNetConfig(),
}
_PREVIEWS = 50
_PREVIEW_SIDE = 512


class DeepImagePrior(io.ComfyNode):
    """``ncm_lib.restore`` as a node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_DeepImagePrior",
            display_name="Deep Image Prior",
            category=CATEGORY,
            description="Restores pictures without any model: an untrained network learns the one picture, and learns "
            "its content before its faults. The training runs in this node.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The pictures, 8 x 8 pixels or more. Each is restored by itself, one after the other.",
                ),
                io.Combo.Input(
                    "task",
                    options=list(TASKS),
                    default="denoise",
                    tooltip="denoise: take noise away. inpaint: paint what the mask covers. enlarge 2x, enlarge 4x: a "
                    "larger picture; time grows with its pixels. reconstruct: the picture as it is, to watch the "
                    "network learn.",
                ),
                io.Int.Input(
                    "iterations",
                    default=1500,
                    min=1,
                    max=100000,
                    tooltip="At most so many steps of training; time grows in proportion. Too many bring the noise "
                    "back, which early_stopping prevents.",
                ),
                io.Combo.Input(
                    "input",
                    options=["gaussian", "fresh", "ddpm"],
                    default="gaussian",
                    tooltip="What the network is fed with. gaussian: one noise picture, as in the paper. fresh: "
                    "another one in each step. ddpm: the picture itself under forward noise.",
                ),
                io.Int.Input(
                    "t_first",
                    default=50,
                    min=0,
                    max=999,
                    tooltip="For ddpm: the lowest timestep. Higher: less of the picture in the input.",
                ),
                io.Int.Input(
                    "t_last",
                    default=50,
                    min=0,
                    max=999,
                    tooltip="For ddpm: the highest timestep. Above t_first, each step draws one from the range.",
                ),
                io.Combo.Input(
                    "network",
                    options=list(NETWORKS),
                    default="small",
                    tooltip="small: 3 scales of 16 and 32 channels, for pictures up to about 256 pixels. paper: 5 "
                    "scales of 128 channels, about 10 times slower. u-net: the small U-Net with widths 10, 20, 40.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.01,
                    min=0.00001,
                    max=1.0,
                    step=0.001,
                    round=0.00001,
                    tooltip="Higher: quicker and rougher. 0.01 suits small and paper, 0.002 the u-net. Where training "
                    "diverges, it goes back and on with half.",
                ),
                io.Combo.Input(
                    "loss",
                    options=["mse", "l1"],
                    default="mse",
                    tooltip="How differences are counted. mse: squared. l1: absolute, which minds outliers less.",
                ),
                io.Boolean.Input(
                    "early_stopping",
                    default=True,
                    tooltip="Stop where the outputs are calmest, which is about where the noise begins to come back. "
                    "Off: all iterations, and the last average. reconstruct never stops early.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Fixes network and noise. The same seed gives the same picture on the same machine.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="For inpaint: white is painted, black is kept. The other tasks do not look at it.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The restored pictures.")],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        task: str,
        iterations: int,
        input: Any,  # noqa: A002 - the socket's name
        t_first: int,
        t_last: int,
        network: str,
        learning_rate: float,
        loss: Any,
        early_stopping: bool,
        seed: int,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Train, and show it."""
        if t_first > t_last:
            raise InputError(f"t_first is {t_first} and t_last {t_last}; t_first must not be above t_last.")
        chosen, factor = TASKS[task]
        config = DipConfig(
            network=NETWORKS[network],
            input=InputConfig(kind=input, t=(t_first, t_last)),
            loss=loss,
            learning_rate=learning_rate,
            iterations=iterations,
            stopping=StoppingConfig() if early_stopping else None,
        )
        show = _Show(len(image) * iterations)
        # other nodes' resizing may leave values a little outside; NaN stays and is refused
        pictures = image.movedim(-1, 1).clamp(0, 1)
        try:
            restored = restore(
                pictures,
                chosen,
                config=config,
                mask=mask if chosen == "inpaint" else None,
                factor=factor,
                seed=seed,
                device=comfy.model_management.get_torch_device(),
                on_step=show,
            )
        except comfy.model_management.InterruptProcessingException:
            cls._keep(show)
            raise
        stops = ", ".join(map(str, restored.stopped_at))
        result = restored.image.movedim(1, -1).to(comfy.model_management.intermediate_device()).contiguous()
        return io.NodeOutput(result, ui={"text": [f"from iteration {stops} of {iterations}"]})

    @classmethod
    def _keep(cls, show: _Show) -> None:
        """Show what an interrupted run had come to under the node; a result it has none."""
        picture = show.best()
        if picture is None:
            return
        show.last(picture)
        server: Any = PromptServer.instance
        place: Any = get_executing_context()
        output = ui.PreviewImage(picture.movedim(0, -1)[None].expand(-1, -1, -1, 3), cls=cls).as_dict()
        shown = {"node": place.node_id, "display_node": place.node_id, "output": output, "prompt_id": place.prompt_id}
        server.send_sync("executed", shown, server.client_id)


class _Show:
    """The page's progress bar, with the picture as it stands."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._every = max(1, total // _PREVIEWS)
        self._step: Step | None = None
        self._value = 0

    def __call__(self, step: Step) -> None:
        """Tell the page; raises where the user wants it to end."""
        self._step = step
        value = step.index * step.iterations + step.iteration
        preview = _preview(step.picture()) if value // self._every > self._value // self._every else None
        self._value = value
        self._bar.update_absolute(value, preview=preview)

    def best(self) -> Tensor | None:
        """The result as it stands, [C, H, W]; None before the first iteration."""
        return None if self._step is None else self._step.picture()

    def last(self, picture: Tensor) -> None:
        """Leave a picture on the page."""
        self._bar.update_absolute(self._value, preview=_preview(picture))


def _preview(picture: Tensor) -> tuple[str, Image.Image, int]:
    """What ComfyUI's progress takes: format, picture, largest side."""
    pixels = (picture.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    return "JPEG", Image.fromarray(pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels), _PREVIEW_SIDE
