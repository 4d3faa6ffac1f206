"""DDIM Inversion in a graph against the library's inversion, image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor

import ncm_lib as ncm
from ncm_lib.engine.inversion import invert_latents, reconstruct_latents

from .inside.harness.graph import Graph
from .server import Server
from .test_workflows import FOLDER, empty_cache

pytestmark = pytest.mark.slow

IMAGES = sorted((FOLDER.parent / "ckpts" / "demo" / "images").glob("*.png"))
PROMPT = "a photo of a banana"
# SD 1.5's alpha_bar of timestep 0
LAST_SIGMA = (1 / 0.9991500000 - 1) ** 0.5


def graph(steps: int) -> Graph:
    """The bundled images there and back without guidance, each station kept as a file."""
    made = Graph()
    demo = made.add("NCM_LoadDemoModel", batch_size=len(IMAGES))
    positive = made.add("CLIPTextEncode", clip=demo[1], text=PROMPT)[0]
    encoded = made.add("VAEEncode", pixels=made.add("NCM_LoadDemoImages")[0], vae=demo[2])[0]
    sigmas = made.add("NCM_Sigmas", model=demo[0], schedule="DDIM trailing", steps=steps, final_sigma="sigma_min")[0]
    inverted = made.add("NCM_DDIMInversion", model=demo[0], positive=positive, latent_image=encoded, sigmas=sigmas)[0]
    sampled = made.add(
        "SamplerCustomAdvanced",
        noise=made.add("NCM_NoiseFromLatent", latent=inverted, seed=0)[0],
        guider=made.add("BasicGuider", model=demo[0], conditioning=positive)[0],
        sampler=made.add("KSamplerSelect", sampler_name="ddim")[0],
        sigmas=sigmas,
        latent_image=demo[3],
    )[0]
    for name, latents in {"encoded": encoded, "inverted": inverted, "sampled": sampled}.items():
        made.add("SaveLatent", samples=latents, filename_prefix=f"tests/diff_ii/{name}")
    return made


def stations(server: Server, steps: int) -> dict[str, Tensor]:
    """What the graph saved, by name."""
    found = {}
    empty_cache(server)
    for shown in server.run(graph(steps)).values():
        (file,) = shown["latents"]
        content = (server.base / "output" / file["subfolder"] / file["filename"]).read_bytes()
        found[file["filename"].partition("_")[0]] = load(content)["latent_tensor"]
    return found


def errors(found: Tensor, expected: Tensor) -> list[float]:
    """Per image, relative."""
    return [float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True)]


@pytest.fixture(scope="module")
def model() -> Any:
    return ncm.load_model("demo", device="cpu")


@pytest.mark.parametrize("steps", [10, 25])
def test_a_graph_inverts_and_samples_back_as_the_library_does(steps, server, model):
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in IMAGES])
    latents = model.family.encode_images(torch.from_numpy(pixels).movedim(-1, 1).float() / 255)
    conditioning = torch.stack([*model.family.encode([PROMPT])] * len(IMAGES))
    inverted = invert_latents(model.family, latents, conditioning, num_inference_steps=steps)
    sampled = reconstruct_latents(model.family, inverted, conditioning, num_inference_steps=steps)

    found = stations(server, steps)
    scale = model.family.vae.config.scaling_factor
    # measured: 2e-7, 3e-6, 6e-7
    assert max(errors(found["encoded"] * scale, latents)) < 1e-5
    assert max(errors(found["inverted"], inverted)) < 3e-5
    # the sampler leaves the scale of its last sigma in the latents
    assert max(errors(found["sampled"] * scale / (1 + LAST_SIGMA**2) ** 0.5, sampled)) < 1e-5
