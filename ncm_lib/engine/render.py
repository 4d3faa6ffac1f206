"""A planned sample made an image: text cache, noise, masks, denoising, decoding."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..maths.rng import uniforms
from ..plan.planes import mask_planes
from ..plan.sample import PlanTable, Sample
from .conditioning import Conditioning, stack
from .denoise import EarlyConditions, denoise, early_steps
from .load import Model
from .prompt_cache import PromptCache
from .schedulers import LCM_STEPS, fresh, make_scheduler, resolve_name, resolve_spacing
from .settings import RenderSettings, ResolvedSettings
from .source_latents import source_latents
from .starts import Inversion, RealImage, check_image_starts, start_latents, start_step


class Renderer:
    """Renders batches of planned samples with one model and one setting.

    Text embeddings are made once per prompt, as long as there is room (``PromptCache``).
    """

    def __init__(
        self,
        model: Model,
        settings: RenderSettings,
        *,
        default_scheduler: str = "dpmsolver++",
        inversion: Inversion | None = None,
        real_image: RealImage | None = None,
    ) -> None:
        self.model = model
        self.settings = resolve_settings(settings, model, default_scheduler)
        self._inversion = inversion
        self._real_image = real_image
        self._scheduler = make_scheduler(
            model.family.scheduler,
            self.settings.scheduler,
            spacing=self.settings.timestep_spacing,
            final_sigma=self.settings.final_sigma,
        )
        self._family = model.family.with_guidance(self.settings.guidance_scale)
        self._prompts = PromptCache(model.family)
        self._negative: Conditioning | None = None

    def with_steps(self, steps: int) -> Renderer:
        """The same with another number of steps, all of them guided, for trials."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(
            update={"num_inference_steps": steps, "guidance_interval": (0.0, 1.0)}
        )
        return other

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of a latent, in cells."""
        cell = self.model.family.latent_cell
        return self.settings.height // cell, self.settings.width // cell

    @property
    def guided(self) -> bool:
        """Whether each sample has a row of the negative prompt."""
        return self._family.guidance == "classifier-free" and self.settings.guidance_scale != 1.0

    def learn_prompts(self, prompts: Iterable[str]) -> None:
        """Encode the prompts that are not yet in the cache; InputError where one is too long for the model."""
        self._prompts.learn(prompts)

    def check_starts(self, table: PlanTable) -> None:
        """InputError where a plan needs real images that did not come, or has a strength that leaves no step."""
        check_image_starts(table, self.settings.num_inference_steps, given=self._real_image is not None)

    def start_step(self, sample: Sample) -> int | None:
        """How many of the first steps a sample leaves out; None where it starts from noise. One batch has one."""
        return start_step(sample.start, self.settings.num_inference_steps)

    def source_latents(self, samples: Sequence[Sample]) -> Tensor | None:
        """Latents [N, c, h, w] of the real images that a batch starts from; None where it starts from none."""
        return source_latents(samples, self._family, self._real_image, (self.settings.height, self.settings.width))

    def latents(self, samples: Sequence[Sample], on_step: Callable[[int], None] | None = None) -> Tensor:
        """Denoise the samples in one batch; their number is the batch shape.

        Args:
            samples: N samples with the same number of conditions and the same start step.
            on_step: called after every step.

        Returns:
            Latents [N, c, h, w] in float32 on the model's device.
        """
        height, width = self.latent_size
        channels = self.model.family.latent_channels
        shape = (channels, height, width)
        noise = torch.stack([start_latents(sample, shape, self._inversion) for sample in samples])
        planes = torch.stack([mask_planes(sample.mask, height, width) for sample in samples])
        device = self.model.device
        conditions = [
            self._prompts.batch([condition.prompt for condition in column])
            for column in zip(*(sample.conditions for sample in samples), strict=True)
        ]
        return denoise(
            self._family,
            fresh(self._scheduler),
            noise.to(device),
            conditions,
            list(planes.to(device).transpose(0, 1).unsqueeze(2)),
            early=self._early(samples),
            unconditional=self._unconditional(len(samples)),
            guidance_scale=self.settings.guidance_scale,
            guidance_interval=self.settings.guidance_interval,
            num_inference_steps=self.settings.num_inference_steps,
            generators=[_step_generator(sample.seed) for sample in samples],
            images=self.source_latents(samples),
            first_step=self.start_step(samples[0]) or 0,
            on_step=on_step,
        )

    def images(self, latents: Tensor) -> list[np.ndarray[Any, np.dtype[np.uint8]] | None]:
        """Decode latents to images [height, width, 3] of uint8; None where the result is NaN, infinite or constant."""
        with torch.inference_mode():
            pixels = self.model.family.decode(latents).permute(0, 2, 3, 1).cpu()
        finite = torch.isfinite(pixels).flatten(1).all(1) & torch.isfinite(latents).flatten(1).all(1).cpu()
        values = (pixels.nan_to_num() * 255).round().to(torch.uint8).numpy()
        return [image if ok and image.min() < image.max() else None for image, ok in zip(values, finite, strict=True)]

    def _early(self, samples: Sequence[Sample]) -> EarlyConditions | None:
        """The first stage of samples that have one, all their conditions at once."""
        total = self.settings.num_inference_steps
        # a sample's conditions change together: a plan has one suffix per sample
        steps = [early_steps(sample.conditions[0].early_fraction, total) for sample in samples]
        if not any(steps):
            return None
        prompts = [
            [condition.early_prompt or condition.prompt for condition in sample.conditions] for sample in samples
        ]
        conditions = [self._prompts.batch(column) for column in zip(*prompts, strict=True)]
        return EarlyConditions(conditions=conditions, steps=steps)

    def _unconditional(self, count: int) -> Conditioning | None:
        if not self.guided:
            return None
        if self._negative is None:
            with torch.inference_mode():
                self._negative = self._family.encode_negative(self.settings.negative_prompt)
        return stack([self._negative] * count)


def _step_generator(seed: int) -> torch.Generator:
    """What a stochastic scheduler draws from: a stream of the sample's own, apart from its start noise."""
    # torch's CPU generator reads 32 bits of a seed
    word = int(uniforms(seed, "step_noise", 0, 1, 1)[0, 0] * 2**32)
    return torch.Generator().manual_seed(word)


def resolve_settings(
    settings: RenderSettings, model: Model, default_scheduler: str = "dpmsolver++"
) -> ResolvedSettings:
    """Fill in the defaults of model and method; InputError where the image size does not fit the model."""
    family = model.family
    height = settings.height or family.default_size
    width = settings.width or family.default_size
    multiple = family.size_multiple
    for name, side in (("height", height), ("width", width)):
        if side % multiple:
            below = max(side // multiple, 1) * multiple
            raise InputError(
                f"The image {name} is {side}; this model makes multiples of {multiple}: "
                f"take {below} or {below + multiple}."
            )
    guidance = model.defaults.guidance_scale if settings.guidance_scale is None else settings.guidance_scale
    if family.guidance == "none" and guidance != 1.0:
        raise InputError(
            f"guidance_scale is {guidance}; this model is distilled to run without guidance: leave it out, or take 1."
        )
    if family.guidance != "classifier-free" and settings.negative_prompt:
        raise InputError(
            f"negative_prompt is {settings.negative_prompt!r}; this model's guidance is distilled and has no branch "
            "for it: leave it out."
        )
    if settings.guidance_interval != (0.0, 1.0) and family.guidance != "classifier-free":
        raise InputError(
            "guidance_interval leaves out rows of an unconditional branch, and this model has none: leave it out."
        )
    scheduler = resolve_name(settings.scheduler, default_scheduler, family.scheduler)
    if scheduler == "lcm" and settings.num_inference_steps > LCM_STEPS:
        raise InputError(
            f"num_inference_steps is {settings.num_inference_steps}; lcm makes at most {LCM_STEPS}, and is meant for 4 "
            "to 8 of weights that were distilled for it."
        )
    return ResolvedSettings(
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=guidance,
        guidance_interval=settings.guidance_interval,
        scheduler=scheduler,
        timestep_spacing=resolve_spacing(scheduler, settings.timestep_spacing),
        final_sigma=settings.final_sigma,
        negative_prompt=settings.negative_prompt,
        height=height,
        width=width,
        dtype=str(model.dtype).removeprefix("torch."),
        speed=str(model.speed),
    )
