"""Two-Stage Conditioning: which prompt each step of a real run sees."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from harness.graph import Graph, Link
from harness.internals import helper_module
from torch import Tensor

torch.set_num_threads(1)
TEXTS = {"suffixed": "a robin flying over water", "plain": "a robin", "other": "a red balloon"}


class Sampling(Graph):
    """A graph that samples with one of ComfyUI's schedulers, without guidance."""

    def __init__(self, *, scheduler: str = "normal", steps: int = 8, denoise: float = 1.0):
        super().__init__()
        loader = self.add("NCMTest_TinyModel", family="sd15")
        self.model = loader[0]
        self.texts = {name: self.add("CLIPTextEncode", clip=loader[1], text=text)[0] for name, text in TEXTS.items()}
        for name, link in self.texts.items():
            self.capture(name, link)
        self.settings = {"scheduler": scheduler, "steps": steps, "denoise": denoise}
        self.sigmas = self.add("BasicScheduler", model=self.model, **self.settings)[0]

    def ranged(self, name: str, start: float, end: float) -> Link:
        return self.add("ConditioningSetTimestepRange", conditioning=self.texts[name], start=start, end=end)[0]

    def combined(self, one: Link, other: Link) -> Link:
        return self.add("ConditioningCombine", conditioning_1=one, conditioning_2=other)[0]

    def stages(self, fraction: float, suffixed: Link | None = None, plain: Link | None = None, **model: Link) -> Link:
        prompts = {"suffixed": suffixed or self.texts["suffixed"], "plain": plain or self.texts["plain"]}
        return self.add("NCM_TwoStageConditioning", sigmas=self.sigmas, fraction=fraction, **prompts, **model)[0]

    def sampled(self, positive: Link, sampler_name: str = "euler") -> Sampling:
        """By KSampler, whose sigmas are the scheduler's."""
        latent = self.add("EmptyLatentImage", width=64, height=64, batch_size=1)[0]
        sampled = self.add("KSampler", model=self.model, positive=positive, negative=self.texts["other"], seed=1,
                           latent_image=latent, cfg=1.0, sampler_name=sampler_name, **self.settings)  # fmt: skip
        self.capture("latent", sampled[0])
        return self

    def custom_sampled(self, positive: Link, sampler_name: str) -> Sampling:
        """By SamplerCustomAdvanced, which leaves no sigma out for any sampler."""
        sampled = self.add(
            "SamplerCustomAdvanced",
            noise=self.add("RandomNoise", noise_seed=1)[0],
            guider=self.add("BasicGuider", model=self.model, conditioning=positive)[0],
            sampler=self.add("KSamplerSelect", sampler_name=sampler_name)[0],
            sigmas=self.sigmas,
            latent_image=self.add("EmptyLatentImage", width=64, height=64, batch_size=1)[0],
        )
        self.capture("latent", sampled[0])
        return self


@contextlib.contextmanager
def prompts_seen(comfy) -> Iterator[list[Tensor]]:
    """The embedded prompts of every call of the network, a row each."""
    network = helper_module(comfy, "tiny_models").tiny_model("sd15").model.diffusion_model
    seen: list[Tensor] = []

    def look(_: torch.nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
        seen.append(named["context"].clone())

    handle = network.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def seen_by(graph: Sampling, comfy, run_graph) -> list[str]:
    """The prompts that each call of the network had, by name."""
    with prompts_seen(comfy) as seen:
        captured = run_graph(graph).captured
    known = {name: captured[name][0][0][0] for name in TEXTS}
    return ["+".join(sorted(name for row in call for name, text in known.items() if torch.equal(row, text)))
            for call in seen]  # fmt: skip


CASES = [
    *[(scheduler, "euler", 10, fraction)
      for scheduler in ("karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic",
                        "kl_optimal")
      for fraction in (0.3, 0.55)],
    *[("normal", sampler, 6, 0.5) for sampler in ("ddim", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "lms")],
    *[("normal", "euler", 7, fraction) for fraction in (0.0, 0.1, 0.15, 3 / 7, 0.99, 1.0)],
]  # fmt: skip


@pytest.mark.parametrize(("scheduler", "sampler_name", "steps", "fraction"), CASES)
def test_exactly_the_first_steps_see_the_suffix(scheduler, sampler_name, steps, fraction, comfy, run_graph):
    graph = Sampling(scheduler=scheduler, steps=steps)
    early = math.floor(fraction * steps + 1e-9)
    seen = seen_by(graph.sampled(graph.stages(fraction), sampler_name), comfy, run_graph)
    assert seen == ["suffixed"] * early + ["plain"] * (steps - early)


@pytest.mark.parametrize(
    ("fraction", "steps", "count"),
    # the paper's; then a product that floats leave just below 15
    [(0.1, 25, 2), (0.3, 25, 7), (0.5, 25, 12), (0.7, 25, 17), (1.0, 25, 25), (15 / 22, 22, 15)],
)
def test_a_fraction_is_rounded_down_to_steps(fraction, steps, count, comfy, run_graph):
    graph = Sampling(steps=steps)
    assert seen_by(graph.sampled(graph.stages(fraction)), comfy, run_graph).count("suffixed") == count


def test_a_run_that_starts_late_has_the_suffix_in_its_own_first_steps(comfy, run_graph):
    graph = Sampling(steps=10, denoise=0.5)
    assert seen_by(graph.sampled(graph.stages(0.3)), comfy, run_graph) == ["suffixed"] * 3 + ["plain"] * 7


@pytest.mark.parametrize("sampler_name", ["dpm_2", "dpmpp_sde"])
def test_a_look_ahead_within_a_step_sees_that_steps_prompt(sampler_name, comfy, run_graph):
    graph = Sampling(steps=6)
    seen = seen_by(graph.custom_sampled(graph.stages(0.5), sampler_name), comfy, run_graph)
    switch = seen.index("plain")
    assert seen == ["suffixed"] * switch + ["plain"] * (len(seen) - switch)
    assert switch == 6, "two looks in each of the first three steps"


def test_the_latents_are_those_of_stock_ranges(run_graph):
    graph = Sampling(steps=8)
    graph.capture("two stages", graph.stages(0.5))
    ours = run_graph(graph.sampled(graph.stages(0.5))).captured["latent"]["samples"]
    stock = Sampling(steps=8)
    # of eight steps of "normal", timesteps 999 to 0, the fifth begins at 43 percent and the fourth at 57
    halves = stock.combined(stock.ranged("suffixed", 0.0, 0.5), stock.ranged("plain", 0.5, 1.0))
    assert torch.equal(ours, run_graph(stock.sampled(halves)).captured["latent"]["samples"])


def test_every_entry_of_a_conditioning_is_confined(comfy, run_graph):
    graph = Sampling(steps=4)
    both = graph.combined(graph.texts["suffixed"], graph.texts["other"])
    seen = seen_by(graph.sampled(graph.stages(0.5, suffixed=both)), comfy, run_graph)
    assert seen == ["other+suffixed"] * 2 + ["plain"] * 2


def test_ranges_of_their_own_are_intersected(comfy, run_graph):
    # of ten steps of "simple", step k begins at k times ten percent
    graph = Sampling(scheduler="simple", steps=10)
    suffixed = graph.combined(graph.texts["suffixed"], graph.ranged("other", 0.15, 0.85))
    plain = graph.combined(graph.ranged("plain", 0.25, 0.75), graph.ranged("suffixed", 0.65, 1.0))
    positive = graph.stages(0.4, suffixed=suffixed, plain=plain, model=graph.model)
    assert seen_by(graph.sampled(positive), comfy, run_graph) == [
        *["suffixed"] * 2, *["other+suffixed"] * 2, *["plain"] * 3, "plain+suffixed", *["suffixed"] * 2,
    ]  # fmt: skip


def test_ranges_over_the_whole_run_need_no_model(comfy, run_graph):
    graph = Sampling(steps=4)
    positive = graph.stages(0.5, suffixed=graph.ranged("suffixed", 0.0, 1.0))
    assert seen_by(graph.sampled(positive), comfy, run_graph) == ["suffixed"] * 2 + ["plain"] * 2


def test_three_stages_are_two_nodes_one_behind_the_other(comfy, run_graph):
    graph = Sampling(steps=6)
    positive = graph.stages(0.7, suffixed=graph.stages(0.4, plain=graph.texts["other"]))
    seen = seen_by(graph.sampled(positive), comfy, run_graph)
    assert seen == ["suffixed"] * 2 + ["other"] * 2 + ["plain"] * 2


def test_an_inversion_meets_the_stages_from_the_other_end(comfy, run_graph):
    graph = Sampling(steps=6)
    image = graph.add("NCMTest_Given", value={"samples": torch.ones(1, 4, 8, 8)})[0]
    inverted = graph.add("NCM_DDIMInversion", model=graph.model, positive=graph.stages(0.34), latent_image=image,
                         sigmas=graph.sigmas)[0]  # fmt: skip
    graph.capture("inverted", inverted)
    # a step is evaluated at its destination, so both ways see the same levels
    assert seen_by(graph, comfy, run_graph) == ["plain"] * 4 + ["suffixed"] * 2


def refusal(graph: Graph, run_graph) -> str:
    failure = run_graph(graph, check=False).failure
    assert failure is not None, "nothing was refused"
    assert failure.exception_type.endswith(".InputError"), failure
    return failure.message


def test_a_range_of_its_own_needs_the_model(run_graph):
    graph = Sampling()
    graph.sampled(graph.stages(0.5, plain=graph.ranged("plain", 0.2, 0.8)))
    assert refusal(graph, run_graph) == (
        "The plain conditioning has a timestep range of its own (0.2 to 0.8); link the model, whose noise levels tell "
        "which steps that means."
    )


def test_a_prompt_of_which_nothing_is_left_is_refused(run_graph):
    graph = Sampling(scheduler="simple", steps=10)
    suffixed = graph.ranged("suffixed", 0.6, 1.0)
    graph.sampled(graph.stages(0.5, suffixed=suffixed, model=graph.model))
    assert refusal(graph, run_graph) == (
        "The suffixed conditioning has a timestep range of its own, and nothing of it lies within its 5 of 10 steps. "
        "Widen the range, or change the fraction."
    )


def test_sigmas_that_do_not_fall_are_refused(run_graph):
    graph = Sampling()
    graph.sigmas = graph.add("FlipSigmas", sigmas=graph.sigmas)[0]
    graph.sampled(graph.stages(0.5))
    assert "must be two or more that fall" in refusal(graph, run_graph)
