"""The forward process of diffusion models: a picture on its way to noise."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.maths.schedules import LinearSchedule, NoiseSchedule, ScaledLinearSchedule, forward_noise
from .noise import MAX_SEED
from .sockets import CATEGORY

SCHEDULES: dict[str, NoiseSchedule] = {"linear": LinearSchedule(), "scaled linear": ScaledLinearSchedule()}


class ForwardNoise(io.ComfyNode):
    """Eq. 4 of DDPM on pictures or latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_ForwardNoise",
            display_name="Forward Noise",
            category=CATEGORY,
            description="Takes pictures or latents t steps towards noise, as in the training of a diffusion model, and "
            "shows how much of them is left.",
            is_output_node=True,
            inputs=[
                io.Int.Input(
                    "t",
                    default=250,
                    min=0,
                    max=999,
                    tooltip="The timestep. 0: almost nothing happens. 999: nothing is left of the picture.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Fixes the noise. The noise of sample k of a batch depends on the seed and on k only.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(SCHEDULES),
                    default="linear",
                    tooltip="How the noise grows. linear: beta from 0.0001 to 0.02, as in DDPM. scaled linear: as in "
                    "Stable Diffusion 1 and 2.",
                ),
                io.Float.Input(
                    "latent_scale",
                    default=0.18215,
                    min=0.001,
                    max=100.0,
                    step=0.001,
                    round=0.00001,
                    tooltip="What brings a latent to unit variance: 0.18215 for VAE Encode of SD 1.5, 0.13025 for "
                    "SDXL, 1 for latents that have it. Pictures are taken as they are, from 0 to 1.",
                ),
                io.Image.Input("image", optional=True, tooltip="The pictures."),
                io.Latent.Input("latent", optional=True, tooltip="The latents."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image",
                    tooltip="The noised pictures. Values below 0 and above 1 are kept, and cut off when they are shown "
                    "or saved.",
                ),
                io.Latent.Output(display_name="latent", tooltip="The noised latents, in the scale that they came in."),
            ],
        )

    @classmethod
    def execute(
        cls,
        t: int,
        seed: int,
        schedule: str,
        latent_scale: float,
        image: Tensor | None = None,
        latent: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Add the noise."""
        if image is None and latent is None:
            raise InputError("Forward Noise has nothing to noise; link pictures to image or latents to latent.")
        chosen = SCHEDULES[schedule]
        pictures: Any = ExecutionBlocker(None)
        latents: Any = ExecutionBlocker(None)
        if image is not None:
            noised = forward_noise(image.movedim(-1, 1), t, seed=seed, schedule=chosen)
            pictures = noised.movedim(1, -1).contiguous()
        if latent is not None:
            samples: Tensor = latent["samples"]
            noised = forward_noise(samples * latent_scale, t, seed=seed, schedule=chosen)
            latents = {**latent, "samples": noised / latent_scale}
        left = float(chosen.alpha_bar[t])
        # Eq. 4, Ho et al. 2020
        shown = (
            f"t = {t}: alpha_bar {left:.6g}; x_t = {left**0.5:.4f} x + {(1 - left) ** 0.5:.4f} eta; "
            f"signal to noise {left / (1 - left):.4g}"
        )
        return io.NodeOutput(pictures, latents, ui={"text": [shown]})
