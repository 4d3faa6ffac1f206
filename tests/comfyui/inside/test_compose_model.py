"""What may be done to the model, or to the latents, that are then mixed with."""

from collections.abc import Callable

import pytest
import torch
from harness.comfyui import ComfyUI
from harness.mixing import Mixing, box_mask, latents
from safetensors.torch import save_file
from torch import Tensor

COUNT = 2
VISIBLE = 0.02


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest one, in units of the largest latent."""
    return float((found - expected).abs().max() / expected.abs().max())


def mixing(change: Callable[[Mixing], None] | None = None, **settings) -> Mixing:
    mix = Mixing(mask=box_mask(), count=COUNT, **settings)
    if change:
        change(mix)
    return mix


def ours_and_stock(mix: Mixing, run_graph) -> Tensor:
    """Our latents, which are the stock graph's to the last bit; our guider's are the stock guider's."""
    found = latents(run_graph(mix.ours().stock().our_guider().stock_guider()).captured)
    assert torch.equal(found["ours"], found["stock"])
    assert torch.equal(found["our guider"], found["stock guider"])
    return found["ours"]


def ours(mix: Mixing, run_graph, executor=None) -> Tensor:
    return latents(run_graph(mix.ours(), executor=executor).captured)["ours"]


@pytest.fixture(scope="module", autouse=True)
def loras(comfy: ComfyUI) -> None:
    """Two LoRA files, which change the network's cross-attention and the text encoder."""
    folder = comfy.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    layers = {
        "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v": (64, 32),
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q": (32, 32),
        "lora_te_text_model_encoder_layers_0_mlp_fc1": (64, 32),
    }
    for seed, name in enumerate(("one", "two")):
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for layer, (outputs, inputs) in layers.items():
            weights[f"{layer}.lora_up.weight"] = torch.randn(outputs, 4, generator=generator)
            weights[f"{layer}.lora_down.weight"] = torch.randn(4, inputs, generator=generator)
            weights[f"{layer}.alpha"] = torch.tensor(4.0)
        save_file(weights, folder / f"{name}.safetensors")


def lora(name: str) -> Callable[[Mixing], None]:
    def change(mix: Mixing) -> None:
        loaded = mix.add("LoraLoader", model=mix.model, clip=mix.clip, lora_name=f"{name}.safetensors",
                         strength_model=1.0, strength_clip=1.0)  # fmt: skip
        mix.model, mix.clip = loaded[0], loaded[1]
        mix.a, mix.b = mix.encode("a robin"), mix.encode("a wren")

    return change


def lora_for_class_a(mix: Mixing) -> None:
    """By ComfyUI's hooks, which patch the model for some of its rows."""
    hooks = mix.add("CreateHookLora", lora_name="one.safetensors", strength_model=1.0, strength_clip=0.0)[0]
    mix.a = mix.add("ConditioningSetProperties", cond_NEW=mix.a, strength=1.0, set_cond_area="default", hooks=hooks)[0]


def rescaled_cfg(mix: Mixing) -> None:
    mix.model = mix.add("RescaleCFG", model=mix.model, multiplier=0.7)[0]


def perturbed_attention(mix: Mixing) -> None:
    mix.model = mix.add("PerturbedAttentionGuidance", model=mix.model, scale=3.0)[0]


def self_attention_guidance(mix: Mixing) -> None:
    mix.model = mix.add("SelfAttentionGuidance", model=mix.model, scale=0.5, blur_sigma=2.0)[0]


def zero_snr_velocity(mix: Mixing) -> None:
    mix.model = mix.add("ModelSamplingDiscrete", model=mix.model, sampling="v_prediction", zsnr=True)[0]


CHANGES = [lora("one"), lora_for_class_a, rescaled_cfg, perturbed_attention, self_attention_guidance,
           zero_snr_velocity]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__qualname__.partition(".")[0])
def test_a_changed_model_gives_the_stock_graphs_latents(change, run_graph):
    found = ours_and_stock(mixing(change), run_graph)
    assert difference(found, ours(mixing(), run_graph)) > VISIBLE, "the change shows"


def test_flux_guidance_and_shift_give_the_stock_graphs_latents(run_graph):
    def change(mix: Mixing) -> None:
        mix.a = mix.add("FluxGuidance", conditioning=mix.a, guidance=30.0)[0]
        mix.model = mix.add("ModelSamplingFlux", model=mix.model, max_shift=2.0, base_shift=1.0, width=64,
                            height=64)[0]  # fmt: skip

    found = ours_and_stock(mixing(change, family="flux"), run_graph)
    assert difference(found, ours(mixing(family="flux"), run_graph)) > VISIBLE


def test_models_with_different_loras_take_turns_without_a_trace_of_each_other(comfy, run_graph):
    plain = ours(mixing(), run_graph)
    alone = {name: ours(mixing(lora(name)), run_graph) for name in ("one", "two")}
    assert difference(alone["one"], alone["two"]) > VISIBLE
    executor = comfy.executor()
    for name in ("one", "two", "one", "two"):
        assert torch.equal(ours(mixing(lora(name), seed=5), run_graph, executor), alone[name])
        # another seed in between, so that the same model runs again on other noise
        ours(mixing(lora(name), seed=6), run_graph, executor)
    ours(mixing(lora_for_class_a), run_graph, executor)
    assert torch.equal(ours(mixing(), run_graph, executor), plain)


def painted(mix: Mixing) -> Tensor:
    """Gives the mix an image's latent of which only the right half may change."""
    image = torch.randn(COUNT, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    free = torch.zeros(1, 64, 64)
    free[:, :, 32:] = 1
    latent = mix.given({"samples": image})
    mix.latent = mix.add("SetLatentNoiseMask", samples=latent, mask=mix.given(free))[0]
    return image


@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m", "ddim", "uni_pc"])
@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_inpainting_gives_the_stock_graphs_latents_and_keeps_the_rest(sampler_name, denoise, run_graph):
    mix = mixing(sampler_name=sampler_name, denoise=denoise)
    image = painted(mix)
    run = run_graph(mix.ours().stock().our_guider().stock_guider())
    assert torch.equal(run.captured["ours"]["noise_mask"], run.captured["stock"]["noise_mask"])
    found = latents(run.captured)
    assert torch.equal(found["ours"], found["stock"])
    assert torch.equal(found["our guider"], found["stock guider"])
    # uni_pc ends with a trace of noise
    tolerance = 0.03 if sampler_name == "uni_pc" else 1e-4
    torch.testing.assert_close(found["ours"][..., :4], image[..., :4], rtol=0, atol=tolerance)
    assert (found["ours"] - image)[..., 4:].abs().mean() > 0.1
