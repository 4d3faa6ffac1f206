"""DDIM Inversion, and Noise from Latent behind it: against the formula, against stock sampling, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from harness.graph import Graph, Link
from harness.internals import helper_module
from safetensors.torch import save_file
from torch import Tensor

SCALE = 0.18215
"""Of SD 1.5's latents, as its VAE makes them."""
torch.set_num_threads(1)


def images(count: int = 2, channels: int = 4) -> Tensor:
    """As VAE Encode gives them."""
    return torch.randn(count, channels, 8, 8, generator=torch.Generator().manual_seed(1)) / SCALE


class Inverting(Graph):
    """A graph that inverts latents with a tiny model."""

    def __init__(self, family: str = "sd15", *, schedule: str = "DDIM trailing", steps: int = 4, final: str = "zero"):
        super().__init__()
        loader = self.add("NCMTest_TinyModel", family=family)
        self.model, self.clip = loader[0], loader[1]
        self.positive = self.encode("a robin on a branch")
        self.capture("positive", self.positive)
        self.latents = images(channels=16 if family == "flux" else 4)
        if family == "flux":
            self.sigmas = self.add("BasicScheduler", model=self.model, scheduler="simple", steps=steps, denoise=1.0)[0]
        else:
            self.sigmas = self.add("NCM_Sigmas", model=self.model, schedule=schedule, steps=steps, final_sigma=final)[0]
        self.capture("sigmas", self.sigmas)

    def encode(self, text: str) -> Link:
        return self.add("CLIPTextEncode", clip=self.clip, text=text)[0]

    def given(self, value: Any) -> Link:
        return self.add("NCMTest_Given", value=value)[0]

    def inverted(self, key: str = "inverted", **changed: Link) -> Link:
        inputs = {"model": self.model, "positive": self.positive, "sigmas": self.sigmas,
                  "latent_image": self.given({"samples": self.latents}), **changed}  # fmt: skip
        found = self.add("NCM_DDIMInversion", **inputs)[0]
        self.capture(key, found)
        return found

    def sampled(self, noise: Link, key: str = "sampled", sampler_name: str = "ddim") -> None:
        """Without guidance, on the same sigmas, from an empty latent."""
        sampled = self.add(
            "SamplerCustomAdvanced",
            noise=self.add("NCM_NoiseFromLatent", latent=noise, seed=0)[0],
            guider=self.add("BasicGuider", model=self.model, conditioning=self.positive)[0],
            sampler=self.add("KSamplerSelect", sampler_name=sampler_name)[0],
            sigmas=self.sigmas,
            latent_image=self.given({"samples": torch.zeros_like(self.latents)}),
        )
        self.capture(key, sampled[0])


def network_of(comfy, family: str) -> torch.nn.Module:
    return helper_module(comfy, "tiny_models").tiny_model(family).model.diffusion_model


@torch.inference_mode()
def by_hand(network: torch.nn.Module, x: Tensor, context: Tensor, timesteps: list[int], *, velocity: bool,
            first: float) -> Tensor:  # fmt: skip
    """As diffusers' DDIMInverseScheduler, from clean (``first`` 1) or from timestep 0; evaluated at the destination."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1 - beta, 0)
    source = first if first == 1.0 else float(alpha_bar[0])
    x = x.double()
    for timestep in timesteps:
        target = float(alpha_bar[timestep])
        rows = torch.full((len(x),), float(timestep))
        out = network(x.float(), rows, context=context.expand(len(x), -1, -1)).double()
        noise = source**0.5 * out + (1 - source) ** 0.5 * x if velocity else out
        clean = (x - (1 - source) ** 0.5 * noise) / source**0.5
        x = target**0.5 * clean + (1 - target) ** 0.5 * noise
        source = target
    return x


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("final", "first"), [("sigma_min", 0.0), ("zero", 1.0)])
@pytest.mark.parametrize(("family", "velocity"), [("sd15", False), ("sd21", True)])
def test_it_is_the_formula_evaluated_at_the_destination(family, velocity, final, first, comfy, run_graph):
    graph = Inverting(family, final=final)
    graph.inverted()
    captured = run_graph(graph).captured
    context = captured["positive"][0][0]
    expected = by_hand(network_of(comfy, family), graph.latents * SCALE, context, [249, 499, 749, 999],
                       velocity=velocity, first=first)  # fmt: skip
    assert error(captured["inverted"]["samples"], expected) < 2e-5


@pytest.mark.parametrize("schedule", ["DDIM trailing", "DDIM leading", "DPM-Solver++ linspace"])
def test_the_sampler_starts_from_the_inverted_latent_itself(schedule, comfy, run_graph):
    """Also where the sigmas begin below the largest, which makes ComfyUI scale noise in another way."""
    graph = Inverting(schedule=schedule)
    graph.sampled(graph.inverted())
    network = network_of(comfy, "sd15")
    seen: list[tuple[float, Tensor]] = []

    def look(_: torch.nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
        seen.append((float(inputs[1][0]), inputs[0].clone()))

    handle = network.register_forward_pre_hook(look, with_kwargs=True)
    try:
        captured = run_graph(graph).captured
    finally:
        handle.remove()
    timesteps = [round(timestep) for timestep, _ in seen[:4]]
    assert [round(timestep) for timestep, _ in seen[4:]] == timesteps[::-1]
    expected = by_hand(network, graph.latents * SCALE, captured["positive"][0][0], timesteps, velocity=False, first=1.0)
    # the network sees variance-preserving latents
    assert error(seen[4][1], expected) < 2e-5
    if schedule != "DDIM leading":
        assert error(captured["inverted"]["samples"], expected) < 2e-5


def still(comfy, family: str, bias: float) -> Any:
    """A MODEL whose network says the same everywhere."""
    tiny = helper_module(comfy, "tiny_models")
    model = tiny.make_model(tiny.FAMILIES[family], "still")
    network = model.model.diffusion_model
    last = network.final_layer.linear if family == "flux" else network.out[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(bias)
    return model


def test_flow_models_take_euler_steps_and_their_latents_shift_is_not_put_back(comfy, run_graph):
    graph = Inverting("flux")
    graph.model = graph.given(still(comfy, "flux", 0.3))
    graph.inverted()
    captured = run_graph(graph).captured
    # FLUX's latent format
    clean = (graph.latents - 0.1159) * 0.3611
    assert float(captured["sigmas"][0]) == 1.0
    torch.testing.assert_close(captured["inverted"]["samples"], clean + 0.3, rtol=1e-5, atol=1e-5)


def test_a_flow_that_is_inverted_half_the_way_starts_there_again(comfy, run_graph):
    """A flow's sampler multiplies noise by its first sigma."""
    graph = Inverting("flux")
    graph.model = graph.given(still(comfy, "flux", 0.0))
    graph.sigmas = graph.given(torch.tensor([0.5, 0.25, 0.0]))
    graph.sampled(graph.inverted(), sampler_name="euler")
    captured = run_graph(graph).captured
    torch.testing.assert_close(captured["inverted"]["samples"], 2 * (graph.latents - 0.1159) * 0.3611)
    torch.testing.assert_close(captured["sampled"]["samples"], graph.latents, rtol=1e-5, atol=1e-5)


def test_a_model_that_sees_no_noise_leaves_the_scaled_latent(comfy, run_graph):
    graph = Inverting()
    graph.model = graph.given(still(comfy, "sd15", 0.0))
    graph.inverted()
    left = 0.0046600985**0.5
    torch.testing.assert_close(run_graph(graph).captured["inverted"]["samples"], left * graph.latents * SCALE)


ERRORS = {10: 0.1522, 25: 0.0782, 50: 0.0493}
"""By the number of steps, of the demo images' latents: measured."""


def demo(steps: list[int]) -> Graph:
    """The two demo images, inverted and sampled at cfg 1 with the same sigmas."""
    graph = Graph()
    loader = graph.add("NCM_LoadDemoModel", batch_size=2)
    positive = graph.add("CLIPTextEncode", clip=loader[1], text="a photo of a banana")[0]
    encoded = graph.add("VAEEncode", pixels=graph.add("NCM_LoadDemoImages")[0], vae=loader[2])[0]
    graph.capture("encoded", encoded)
    guider = graph.add("CFGGuider", model=loader[0], positive=positive, negative=positive, cfg=1.0)[0]
    for count in steps:
        sigmas = graph.add("NCM_Sigmas", model=loader[0], schedule="DDIM trailing", steps=count, final_sigma="zero")[0]
        inverted = graph.add("NCM_DDIMInversion", model=loader[0], positive=positive, latent_image=encoded,
                             sigmas=sigmas)[0]  # fmt: skip
        sampled = graph.add(
            "SamplerCustomAdvanced", guider=guider, sigmas=sigmas, latent_image=loader[3],
            noise=graph.add("NCM_NoiseFromLatent", latent=inverted, seed=0)[0],
            sampler=graph.add("KSamplerSelect", sampler_name="ddim")[0],
        )  # fmt: skip
        graph.capture(f"inverted {count}", inverted)
        graph.capture(f"sampled {count}", sampled[0])
    return graph


def test_sampling_without_guidance_brings_the_images_back(run_graph):
    captured = run_graph(demo(list(ERRORS))).captured
    found = {steps: error(captured[f"sampled {steps}"]["samples"], captured["encoded"]["samples"]) for steps in ERRORS}
    assert found == {steps: pytest.approx(measured, rel=0.1) for steps, measured in ERRORS.items()}
    noise = captured["inverted 50"]["samples"]
    assert noise.std(dim=(1, 2, 3)).tolist() == pytest.approx([1.015, 1.009], abs=0.01)
    assert noise.mean(dim=(1, 2, 3)).abs().max() < 0.08


def test_a_tiny_flow_model_is_undone_better_by_more_steps(run_graph):
    def round_trip(steps: int) -> float:
        graph = Inverting("flux", steps=steps)
        graph.sampled(graph.inverted(), sampler_name="euler")
        return error(run_graph(graph).captured["sampled"]["samples"], graph.latents)

    few, many = round_trip(10), round_trip(40)
    assert many < few / 2


def test_every_image_is_inverted_as_if_alone_under_its_own_prompt(run_graph):
    graph = Inverting()
    prompts = ("a robin on a branch", "a red balloon")
    rows = graph.add("NCM_EncodePrompts", clip=graph.clip, prompts=graph.given(prompts))[0]
    graph.inverted("both", positive=rows)
    for row, prompt in enumerate(prompts):
        graph.inverted(f"alone {row}", positive=graph.encode(prompt),
                       latent_image=graph.given({"samples": graph.latents[row : row + 1]}))  # fmt: skip
    captured = run_graph(graph).captured
    both = captured["both"]["samples"]
    for row in range(2):
        assert error(both[row], captured[f"alone {row}"]["samples"][0]) < 1e-5
    assert error(both[1], both[0]) > 0.1


def test_what_a_latent_carries_goes_along_but_for_its_mask(run_graph):
    graph = Inverting(steps=1)
    latent = {"samples": graph.latents, "noise_mask": torch.ones(1, 64, 64), "downscale_ratio_spacial": 2}
    graph.inverted(latent_image=graph.given(latent))
    assert set(run_graph(graph).captured["inverted"]) == {"samples", "downscale_ratio_spacial"}


def lora_file(comfy) -> str:
    folder = comfy.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    layer, generator = "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v", torch.Generator().manual_seed(0)
    weights = {
        f"{layer}.lora_up.weight": torch.randn(64, 4, generator=generator),
        f"{layer}.lora_down.weight": torch.randn(4, 32, generator=generator),
        f"{layer}.alpha": torch.tensor(4.0),
    }
    save_file(weights, folder / "inversion.safetensors")
    return "inversion.safetensors"


def test_a_lora_counts_whether_the_model_or_a_hook_of_the_prompt_has_it(comfy, run_graph):
    graph, name = Inverting(), lora_file(comfy)
    graph.inverted("plain")
    patched = graph.add("LoraLoaderModelOnly", model=graph.model, lora_name=name, strength_model=1.0)[0]
    graph.inverted("model", model=patched)
    hooks = graph.add("CreateHookLoraModelOnly", lora_name=name, strength_model=1.0)[0]
    hooked = graph.add("ConditioningSetProperties", cond_NEW=graph.positive, strength=1.0, set_cond_area="default",
                       hooks=hooks)[0]  # fmt: skip
    graph.inverted("hook", positive=hooked)
    found = {
        key: value["samples"] for key, value in run_graph(graph).captured.items() if key in ("plain", "model", "hook")
    }
    assert error(found["hook"], found["model"]) < 1e-5
    assert error(found["model"], found["plain"]) > 0.02


def test_the_model_runs_once_per_step_without_a_negative_and_a_second_inversion_is_the_same(comfy, run_graph):
    graph = Inverting(steps=5)
    graph.inverted()
    rows: list[int] = []
    handle = network_of(comfy, "sd15").register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        first = run_graph(graph).captured["inverted"]["samples"]
    finally:
        handle.remove()
    assert rows == [2] * 5
    assert torch.equal(run_graph(graph).captured["inverted"]["samples"], first)


def test_every_step_is_told(run_graph):
    graph = Inverting(steps=4)
    graph.inverted()
    told = [(data["value"], data["max"]) for event, data in run_graph(graph).events if event == "progress"]
    assert told == [(step, 4) for step in (1, 2, 3, 4)]


def test_an_interrupted_inversion_leaves_nothing_behind(comfy, run_graph):
    def graph() -> Inverting:
        made = Inverting(steps=5)
        made.inverted()
        return made

    def cancel(event: str, data: Any) -> None:
        if event == "progress" and data["value"] == 2:
            comfy.interrupt()

    undisturbed = run_graph(graph()).captured["inverted"]["samples"]
    executor = comfy.executor()
    cancelled = run_graph(graph(), check=False, on_event=cancel, executor=executor)
    assert (cancelled.interrupted, cancelled.failure, "inverted" in cancelled.captured) == (True, None, False)
    assert torch.equal(run_graph(graph(), executor=executor).captured["inverted"]["samples"], undisturbed)


def refusal(graph: Graph, run_graph) -> str:
    failure = run_graph(graph, check=False).failure
    assert failure is not None, "nothing was refused"
    assert failure.exception_type.endswith(".InputError"), failure
    return failure.message


@pytest.mark.parametrize(("sampling", "predicts"), [("lcm", "LCM"), ("x0", "X0")])
def test_models_that_are_not_inverted_are_refused(sampling, predicts, run_graph):
    graph = Inverting()
    graph.model = graph.add("ModelSamplingDiscrete", model=graph.model, sampling=sampling, zsnr=False)[0]
    graph.inverted()
    assert refusal(graph, run_graph) == (
        f"The model predicts {predicts}; DDIM inversion is for models that predict noise (EPS), velocity "
        "(V_PREDICTION) or flow (CONST). Link the model without the node that changes its sampling."
    )


def test_a_zero_terminal_snr_is_no_hindrance(run_graph):
    graph = Inverting("sd21")
    graph.model = graph.add("ModelSamplingDiscrete", model=graph.model, sampling="v_prediction", zsnr=True)[0]
    graph.sigmas = graph.add("NCM_Sigmas", model=graph.model, schedule="DDIM trailing", steps=20, final_sigma="zero")[0]
    graph.sampled(graph.inverted())
    captured = run_graph(graph).captured
    assert torch.isfinite(captured["inverted"]["samples"]).all()
    assert error(captured["sampled"]["samples"], graph.latents) < 1


@pytest.mark.parametrize(
    "sigmas",
    [[], [1.0], [0.0, 1.0], [2.0, 2.0, 0.0], [float("inf"), 0.0], [1.0, float("nan")], [1.0, -1.0]],
    ids=str,
)
def test_sigmas_that_do_not_fall_are_refused(sigmas, run_graph):
    graph = Inverting()
    graph.inverted(sigmas=graph.given(torch.tensor(sigmas)))
    assert refusal(graph, run_graph) == (
        f"The SIGMAS have {len(sigmas)} values and must be two or more that fall, from most noise to least, as Named "
        "Sigmas and BasicScheduler make them. Take Flip Sigmas out of the graph if it is there."
    )


def nested() -> Any:
    from comfy.nested_tensor import NestedTensor  # ComfyUI's modules come after its start

    return NestedTensor([torch.ones(1, 4, 8, 8), torch.ones(1, 4, 16)])


LATENTS = {
    "empty": (lambda: torch.zeros(2, 4, 8, 8), "The LATENT is empty, so there is nothing to invert. Link VAE Encode"),
    "picture and sound": (nested, "The LATENT holds several tensors (such as picture and sound)"),
    "broken": (lambda: torch.full((2, 4, 8, 8), torch.nan), "The inversion came to NaN or infinite values."),
}


@pytest.mark.parametrize(("make", "says"), LATENTS.values(), ids=LATENTS)
def test_latents_that_cannot_be_inverted_are_refused(make, says, run_graph):
    graph = Inverting()
    graph.inverted(latent_image=graph.given({"samples": make()}))
    assert refusal(graph, run_graph).startswith(says)


def test_prompts_of_another_number_are_refused(run_graph):
    graph = Inverting()
    graph.positive = graph.add("NCM_EncodePrompts", clip=graph.clip, prompts=graph.given(("a", "b", "c")))[0]
    graph.inverted()
    assert refusal(graph, run_graph).startswith("The conditioning has 3 rows and the LATENT has 2 samples")


def test_the_inputs_stay_as_they_are(run_graph):
    graph = Inverting()
    before = copy.deepcopy(graph.latents)
    graph.inverted()
    run_graph(graph)
    assert torch.equal(graph.latents, before)
