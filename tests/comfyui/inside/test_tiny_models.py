"""The small models that stand in for real ones in the other tests."""

import pytest
import torch
from harness.graph import Graph

FAMILIES = ["sd15", "sd21", "sdxl", "flux"]
CHANNELS = {"flux": 16}


def picture(family: str, prompt: str) -> Graph:
    graph = Graph()
    model = graph.add("NCMTest_TinyModel", family=family)
    positive, negative = (graph.add("CLIPTextEncode", clip=model[1], text=text) for text in (prompt, ""))
    latent = graph.add("EmptyLatentImage", width=128, height=64, batch_size=2)
    sampled = graph.add("KSampler", model=model[0], positive=positive[0], negative=negative[0], latent_image=latent[0],
                        seed=1, steps=3, cfg=4.0, sampler_name="euler", scheduler="normal", denoise=1.0)  # fmt: skip
    graph.capture("latent", sampled[0])
    image = graph.add("VAEDecode", samples=sampled[0], vae=model[2])
    graph.capture("image", image[0])
    graph.capture("encoded", graph.add("VAEEncode", pixels=image[0], vae=model[2])[0])
    return graph


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tiny_model_makes_a_picture_of_its_prompt(family, run_graph):
    run = run_graph(picture(family, "a bird"))
    latent, image = run.captured["latent"]["samples"], run.captured["image"]
    assert latent.shape == (2, CHANNELS.get(family, 4), 8, 16)
    assert image.shape == (2, 64, 128, 3)
    assert torch.isfinite(latent).all()
    assert 0.1 < image.std() < 0.5
    assert run.captured["encoded"]["samples"].shape == latent.shape
    again, other = (run_graph(picture(family, prompt)).captured["latent"]["samples"] for prompt in ("a bird", "a cat"))
    assert torch.equal(again, latent)
    assert (other - latent).abs().mean() > 0.05 * latent.abs().mean(), "the prompt counts"


@pytest.mark.parametrize("family", FAMILIES)
def test_single_loaders_give_what_the_checkpoint_loader_gives(family, run_graph):
    graph = Graph()
    whole = graph.add("NCMTest_TinyModel", family=family)
    for slot, name in enumerate(("UNET", "CLIP", "VAE")):
        graph.capture(f"{name} of all", whole[slot])
        graph.capture(name, graph.add(f"NCMTest_Tiny{name}", family=family)[0])
    captured = run_graph(graph).captured
    for name in ("UNET", "CLIP", "VAE"):
        assert captured[name] is captured[f"{name} of all"]
