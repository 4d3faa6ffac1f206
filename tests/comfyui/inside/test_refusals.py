"""What the samplers refuse, and in which words."""

import re

import pytest
import torch
from harness.mixing import Mixing, box_mask

SAMPLERS = {"NCM_DualPromptMixedSampler": "ours", "NCM_NoiseCutMixGuider": "our_guider"}
"""By the node that takes the inputs."""


def refusal(mix: Mixing, sampler: str, run_graph) -> str:
    """What the sampler says; it must be said by our node, or by the one that samples with our guider."""
    failure = run_graph(getattr(mix, sampler)(), check=False).failure
    assert failure is not None, "nothing was refused"
    assert failure.exception_type.endswith(".InputError"), failure
    assert failure.node_type in {*SAMPLERS, "SamplerCustomAdvanced"}
    return failure.message


both = pytest.mark.parametrize("sampler", SAMPLERS.values())


@both
@pytest.mark.parametrize(("slot", "name"), [("a", "A"), ("b", "B"), ("negative", "negative")])
def test_a_conditioning_of_another_batch_size_is_refused(slot, name, sampler, run_graph):
    mix = Mixing(mask=box_mask(), count=3)
    prompts = mix.given(("a robin", "a wren"))
    setattr(mix, slot, mix.add("NCM_EncodePrompts", clip=mix.clip, prompts=prompts)[0])
    assert refusal(mix, sampler, run_graph) == (
        f"The conditioning {name} has 2 rows and the LATENT has 3 samples; legal is 1 row for all, or 3. "
        "Give both the same batch size."
    )


MASKS = {
    "twice as wide": (
        torch.ones(1, 64, 128),
        r"The MASK is 128 x 64 and the latents are 8 x 8 .* proportions differ. Make the mask at the image's size",
    ),
    "a cell too wide": (torch.ones(1, 64, 72), r"The MASK is 72 x 64 .* proportions differ"),
    "a cell too high": (torch.ones(1, 72, 64), r"The MASK is 64 x 72 .* proportions differ"),
    "NaN": (torch.full((1, 8, 8), torch.nan), r"NaN or values outside of \[0, 1\].*clamps it"),
    "above one": (torch.full((1, 8, 8), 1.01), r"NaN or values outside of \[0, 1\]"),
    "below zero": (torch.full((1, 8, 8), -0.01), r"NaN or values outside of \[0, 1\]"),
    "no mask": (torch.ones(0, 8, 8), r"shape \[0, 8, 8\]; legal is \[masks, height, width\] with at least one"),
    "an image": (torch.ones(1, 8, 8, 3), r"shape \[1, 8, 8, 3\]; legal is \[masks, height, width\]"),
}


@both
@pytest.mark.parametrize(("mask", "says"), MASKS.values(), ids=MASKS)
def test_a_mask_that_cannot_be_meant_is_refused(mask, says, sampler, run_graph):
    assert re.search(says, refusal(Mixing(mask=mask), sampler, run_graph))


@pytest.mark.parametrize(
    "mask",
    [torch.ones(8, 8), torch.ones(1, 1, 8, 8), torch.ones(1, 71, 64), torch.ones(1, 64, 71), torch.ones(1, 71, 71)],
    ids=lambda mask: str(list(mask.shape)),
)
def test_a_mask_that_can_be_meant_is_taken(mask, run_graph):
    run_graph(Mixing(mask=mask).ours().our_guider())


@both
@pytest.mark.parametrize("noise", ["the seed's", "per sample"])
def test_latents_of_picture_and_sound_are_refused(noise, sampler, run_graph):
    from comfy.nested_tensor import NestedTensor  # ComfyUI's modules come after its start

    mix = Mixing(mask=box_mask())
    parts = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 16)]
    mix.latent = mix.given({"samples": NestedTensor(parts)})
    if noise == "per sample":
        mix.noise = mix.add("NCM_SampleNoise", seed=0, first_index=0)[0]
    message = refusal(mix, sampler, run_graph)
    assert message.startswith("The LATENT holds several tensors (such as picture and sound)")
    assert "Give it the picture's LATENT" in message


@both
def test_latents_without_height_are_refused(sampler, run_graph):
    mix = Mixing(mask=box_mask())
    mix.latent = mix.given({"samples": torch.zeros(1, 4, 16)})
    assert "a mask needs images or video" in refusal(mix, sampler, run_graph)


def test_a_refusal_leaves_no_trace(run_graph):
    def ours():
        return run_graph(Mixing(mask=box_mask()).ours()).captured["ours"]["samples"]

    before = ours()
    refusal(Mixing(mask=torch.full((1, 8, 8), torch.nan)), "ours", run_graph)
    assert torch.equal(ours(), before)
