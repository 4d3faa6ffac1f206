"""Named Sigmas, Per-Sample Noise and Noise from Latent; and runs that are interrupted."""

import numpy as np
import pytest
import torch
from harness.graph import Graph, Link
from harness.internals import our_module
from harness.mixing import Mixing, box_mask, latents

# diffusers 0.42.1: DPMSolverMultistepScheduler with "linspace", DDIMScheduler with each of its spacings, steps_offset 1
TIMESTEPS = {
    "DPM-Solver++ linspace": {
        1: [999],
        3: [999, 666, 333],
        7: [999, 856, 714, 571, 428, 285, 143],
        25: [999, 959, 919, 879, 839, 799, 759, 719, 679, 639, 599, 559, 519, 480, 440, 400, 360, 320, 280, 240, 200,
             160, 120, 80, 40],
    },
    "DDIM trailing": {
        1: [999],
        3: [999, 666, 332],
        7: [999, 856, 713, 570, 428, 285, 142],
        25: [999, 959, 919, 879, 839, 799, 759, 719, 679, 639, 599, 559, 519, 479, 439, 399, 359, 319, 279, 239, 199,
             159, 119, 79, 39],
    },
    "DDIM leading": {
        1: [1],
        3: [667, 334, 1],
        7: [853, 711, 569, 427, 285, 143, 1],
        25: [961, 921, 881, 841, 801, 761, 721, 681, 641, 601, 561, 521, 481, 441, 401, 361, 321, 281, 241, 201, 161,
             121, 81, 41, 1],
    },
    "DDIM linspace": {
        1: [0],
        3: [999, 500, 0],
        7: [999, 832, 666, 500, 333, 166, 0],
        25: [999, 957, 916, 874, 832, 791, 749, 708, 666, 624, 583, 541, 500, 458, 416, 375, 333, 291, 250, 208, 166,
             125, 83, 42, 0],
    },
}  # fmt: skip
# Stable Diffusion's noise levels, in float64
ALPHA_BAR = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
SIGMAS = ((1 - ALPHA_BAR) / ALPHA_BAR) ** 0.5


def named_sigmas(graph: Graph, family: str = "sd15", schedule: str = "DDIM trailing", steps: int = 3,
                 final_sigma: str = "zero") -> Link:  # fmt: skip
    model = graph.add("NCMTest_TinyUNET", family=family)[0]
    return graph.add("NCM_Sigmas", model=model, schedule=schedule, steps=steps, final_sigma=final_sigma)[0]


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl"])
@pytest.mark.parametrize("schedule", TIMESTEPS)
def test_sigmas_are_those_of_diffusers_timesteps(schedule, family, run_graph):
    graph = Graph()
    for steps in TIMESTEPS[schedule]:
        graph.capture(str(steps), named_sigmas(graph, family, schedule, steps))
    for steps, sigmas in run_graph(graph).captured.items():
        expected = torch.as_tensor([*SIGMAS[TIMESTEPS[schedule][int(steps)]], 0.0])
        torch.testing.assert_close(sigmas, expected.float(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("schedule", "scheduler"), [("DDIM trailing", "simple"), ("DDIM leading", "ddim_uniform")])
def test_two_of_comfyuis_schedulers_are_the_same_where_the_steps_divide_the_levels(schedule, scheduler, run_graph):
    graph = Graph()
    model = graph.add("NCMTest_TinyUNET", family="sd15")[0]
    for steps in (25, 50):
        stock = graph.add("BasicScheduler", model=model, scheduler=scheduler, steps=steps, denoise=1.0)[0]
        graph.capture(f"stock {steps}", stock)
        graph.capture(f"ours {steps}", named_sigmas(graph, schedule=schedule, steps=steps))
    captured = run_graph(graph).captured
    for steps in (25, 50):
        assert torch.equal(captured[f"ours {steps}"], captured[f"stock {steps}"])


def test_the_final_sigma_may_be_the_models_smallest(run_graph):
    graph = Graph()
    graph.capture("sigmas", named_sigmas(graph, steps=2, final_sigma="sigma_min"))
    expected = torch.as_tensor([SIGMAS[999], SIGMAS[499], SIGMAS[0]]).float()
    torch.testing.assert_close(run_graph(graph).captured["sigmas"], expected, rtol=1e-4, atol=0)


def refusal(graph: Graph, run_graph) -> str:
    failure = run_graph(graph, check=False).failure
    assert failure is not None, "nothing was refused"
    assert failure.exception_type.endswith(".InputError"), failure
    return failure.message


def test_a_step_from_a_sigma_to_itself_is_refused(run_graph):
    graph = Graph()
    graph.capture("sigmas", named_sigmas(graph, schedule="DDIM linspace", final_sigma="sigma_min"))
    assert "end at sigma_min already" in refusal(graph, run_graph)


def test_flow_models_are_refused_with_what_to_take_instead(run_graph):
    graph = Graph()
    graph.capture("sigmas", named_sigmas(graph, "flux"))
    assert refusal(graph, run_graph) == (
        "Named Sigmas needs a model with 1000 noise levels (SD 1.5, SD 2, SDXL), and this one has ModelSamplingFlux. "
        "For flow models and distilled ones use BasicScheduler."
    )


def test_distilled_models_are_refused(run_graph):
    graph = Graph()
    model = graph.add("NCMTest_TinyUNET", family="sd15")[0]
    lcm = graph.add("ModelSamplingDiscrete", model=model, sampling="lcm", zsnr=False)[0]
    sigmas = graph.add("NCM_Sigmas", model=lcm, schedule="DDIM trailing", steps=4, final_sigma="zero")[0]
    graph.capture("sigmas", sigmas)
    assert "needs a model with 1000 noise levels" in refusal(graph, run_graph)


def noise_of(graph: Graph, noise: Link, denoised: dict, run_graph) -> torch.Tensor:
    """What a NOISE makes for latents; twice the same, whatever became of the first."""
    graph.capture("noise", noise)
    source = run_graph(graph).captured["noise"]
    first = source.generate_noise(denoised).clone()
    source.generate_noise(denoised).zero_()
    assert torch.equal(source.generate_noise(denoised), first)
    return first


def per_sample_noise(denoised: dict, run_graph, **inputs) -> torch.Tensor:
    graph = Graph()
    return noise_of(graph, graph.add("NCM_SampleNoise", **inputs)[0], denoised, run_graph)


@pytest.mark.parametrize("first", [0, 7, 2**40])
def test_noise_is_the_librarys(first, comfy, run_graph):
    rng = our_module(comfy, "ncm_lib.maths.rng")
    shape = (4, 8, 6)
    latent = {"samples": torch.zeros(3, *shape)}
    found = per_sample_noise(latent, run_graph, seed=2**53 - 1, first_index=first)
    seeds = rng.sample_seeds(2**53 - 1, first, first + 3)
    assert torch.equal(found, torch.stack([rng.sample_noise(int(seed), shape) for seed in seeds]))


def test_batch_index_chooses_the_samples_whose_noise_it_is(run_graph):
    def noise(count, **others):
        latent = {"samples": torch.zeros(count, 4, 8, 8), **others}
        return per_sample_noise(latent, run_graph, seed=1, first_index=10)

    assert torch.equal(noise(3, batch_index=[4, 0, 4]), noise(5)[[4, 0, 4]])


@pytest.mark.parametrize("rows", [1, 3])
def test_noise_from_a_latent_is_that_latent(rows, run_graph):
    given = torch.randn(rows, 4, 8, 8)
    graph = Graph()
    noise = graph.add("NCM_NoiseFromLatent", latent=graph.add("NCMTest_Given", value={"samples": given})[0], seed=0)
    found = noise_of(graph, noise[0], {"samples": torch.zeros(3, 4, 8, 8)}, run_graph)
    assert torch.equal(found, given.expand(3, -1, -1, -1))


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (1, 4, 8, 9), (1, 16, 8, 8)])
def test_noise_of_another_shape_is_refused(shape, run_graph):
    mix = Mixing(mask=box_mask(), count=3)
    mix.noise = mix.add("NCM_NoiseFromLatent", latent=mix.given({"samples": torch.zeros(shape)}), seed=0)[0]
    assert refusal(mix.ours(), run_graph) == (
        f"The latent that serves as noise has the shape {list(shape)} and the latents to denoise have [3, 4, 8, 8]; "
        "legal is the same shape, or one row of it for all samples."
    )


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral"])
def test_the_seeds_own_noise_given_as_a_latent_changes_nothing(sampler_name, run_graph):
    mix = Mixing(mask=box_mask(), sampler_name=sampler_name)
    mix.ours("by seed")
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(mix.settings["seed"]))
    mix.noise = mix.add("NCM_NoiseFromLatent", latent=mix.given({"samples": noise}), seed=mix.settings["seed"])[0]
    found = latents(run_graph(mix.ours("by latent").our_guider("guider by latent").stock_guider()).captured)
    assert torch.equal(found["by seed"], found["by latent"])
    assert torch.equal(found["guider by latent"], found["stock guider"])


SAMPLE = {"ours": Mixing.ours, "our guider": Mixing.our_guider}
each = pytest.mark.parametrize("sampler", SAMPLE)


@each
@pytest.mark.parametrize("sampler_name", ["euler_ancestral", "dpmpp_2m", "uni_pc"])
def test_an_interrupted_run_leaves_nothing_behind(sampler, sampler_name, comfy, run_graph):
    def mix() -> Mixing:
        return SAMPLE[sampler](Mixing(mask=box_mask(), count=2, steps=5, sampler_name=sampler_name))

    def cancel(event, data):
        if event == "progress" and data["value"] == 2:
            comfy.interrupt()

    undisturbed = latents(run_graph(mix()).captured)[sampler]
    executor = comfy.executor()
    cancelled = run_graph(mix(), check=False, on_event=cancel, executor=executor)
    assert (cancelled.interrupted, cancelled.failure, cancelled.captured) == (True, None, {})
    again = latents(run_graph(mix(), executor=executor).captured)[sampler]
    assert torch.equal(again, undisturbed)


@each
@pytest.mark.parametrize(("sampler_name", "denoise"), [("euler", 1.0), ("heun", 1.0), ("uni_pc", 1.0), ("euler", 0.5)])
def test_every_step_is_told(sampler, sampler_name, denoise, run_graph):
    mix = Mixing(mask=box_mask(), steps=4, sampler_name=sampler_name, denoise=denoise)
    events = run_graph(SAMPLE[sampler](mix)).events
    told = [(data["value"], data["max"]) for event, data in events if event == "progress"]
    assert told == [(step, 4) for step in (1, 2, 3, 4)]
