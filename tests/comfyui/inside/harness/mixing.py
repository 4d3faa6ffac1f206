"""A mix of two prompts as a graph, sampled by our nodes, by ComfyUI's own, or by both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .graph import Graph, Link, Node

# Of models as small as these, threads would mostly wait for each other.
torch.set_num_threads(1)

PROMPTS = ("a robin on a branch", "a red balloon", "blurry")


class Mixing(Graph):
    """A graph that holds what a sampler takes; each of its samplers is captured under its own name.

    A test may replace the links before it adds samplers: ``mix.model = mix.add("LoraLoader", ...)[0]``.

    Attributes:
        model, clip, a, b, negative, latent, mask: Links.
        noise: A link for the samplers that take one, or None for the seed's.
        settings: The sampler's.
    """

    def __init__(
        self,
        family: str = "sd15",
        *,
        mask: Tensor,
        count: int = 1,
        side: int = 8,
        prompts: tuple[str, str, str] = PROMPTS,
        **settings: Any,
    ):
        super().__init__()
        self.captured: set[str] = set()
        loader = self.add("NCMTest_TinyModel", family=family)
        self.model, self.clip = loader[0], loader[1]
        self.a, self.b, self.negative = (self.encode(text) for text in prompts)
        self.latent = self.add("EmptyLatentImage", width=8 * side, height=8 * side, batch_size=count)[0]
        self.mask = self.given(mask)
        self.noise: Link | None = None
        self.settings = {"seed": 5, "steps": 3, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal",
                         "denoise": 1.0, **settings}  # fmt: skip

    def encode(self, text: str) -> Link:
        """A prompt as a conditioning."""
        return self.add("CLIPTextEncode", clip=self.clip, text=text)[0]

    def capture(self, key: str, value: Link) -> Node:
        """As ``Graph.capture``, but once per key: which of two comes last is ComfyUI's choice."""
        assert key not in self.captured, f"{key} is captured twice"
        self.captured.add(key)
        return super().capture(key, value)

    def given(self, value: Any) -> Link:
        """Any object as an output."""
        return self.add("NCMTest_Given", value=value)[0]

    def ours(self, key: str = "ours") -> Mixing:
        """Sample with NCM_DualPromptMixedSampler."""
        links = {"model": self.model, **self._positives(), "latent_image": self.latent}
        if self.noise:
            links["noise"] = self.noise
        self.capture(key, self.add("NCM_DualPromptMixedSampler", **links, **self.settings)[0])
        return self

    def stock(self, key: str = "stock") -> Mixing:
        """Sample with KSampler, the two prompts combined by ComfyUI's masks."""
        return self.plain(key, positive=self._combined())

    def plain(self, key: str = "plain", *, positive: Link | None = None) -> Mixing:
        """Sample with KSampler and one conditioning, prompt A's by default."""
        links = {"model": self.model, "negative": self.negative, "latent_image": self.latent}
        self.capture(key, self.add("KSampler", positive=positive or self.a, **links, **self.settings)[0])
        return self

    def our_guider(self, key: str = "our guider") -> Mixing:
        """Sample with SamplerCustomAdvanced and NCM_NoiseCutMixGuider."""
        links = {"model": self.model, **self._positives(), "cfg": self.settings["cfg"]}
        return self._custom(key, self.add("NCM_NoiseCutMixGuider", **links)[0])

    def stock_guider(self, key: str = "stock guider") -> Mixing:
        """Sample with SamplerCustomAdvanced and CFGGuider, the two prompts combined by ComfyUI's masks."""
        guider = self.add("CFGGuider", model=self.model, positive=self._combined(), negative=self.negative,
                          cfg=self.settings["cfg"])  # fmt: skip
        return self._custom(key, guider[0])

    def _positives(self) -> dict[str, Link]:
        return {"positive_a": self.a, "positive_b": self.b, "negative": self.negative, "mask": self.mask}

    def _combined(self) -> Link:
        inverted = self.add("InvertMask", mask=self.mask)[0]
        shares = [
            self.add("ConditioningSetMask", conditioning=prompt, mask=mask, strength=1.0, set_cond_area="default")[0]
            for prompt, mask in ((self.a, self.mask), (self.b, inverted))
        ]
        return self.add("ConditioningCombine", conditioning_1=shares[0], conditioning_2=shares[1])[0]

    def _custom(self, key: str, guider: Link) -> Mixing:
        settings = self.settings
        schedule = {name: settings[name] for name in ("scheduler", "steps", "denoise")}
        sampled = self.add(
            "SamplerCustomAdvanced",
            noise=self.noise or self.add("RandomNoise", noise_seed=settings["seed"])[0],
            guider=guider,
            sampler=self.add("KSamplerSelect", sampler_name=settings["sampler_name"])[0],
            sigmas=self.add("BasicScheduler", model=self.model, **schedule)[0],
            latent_image=self.latent,
        )
        self.capture(key, sampled[0])
        return self


def latents(captured: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of the captured latents, checked to be numbers."""
    found = {key: value["samples"] for key, value in captured.items()}
    for key, value in found.items():
        assert torch.isfinite(value).all(), key
    return found


def box_mask(side: int = 8, *, top: int = 2, left: int = 3, bottom: int = 7, right: int = 6) -> Tensor:
    """One binary mask, [1, side, side]: class B in a box."""
    mask = torch.ones(1, side, side)
    mask[:, top:bottom, left:right] = 0
    return mask
