"""What is learned, in a stock diffusers pipeline: every name is its own vectors, and the pictures are the same."""

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ncm_lib import ConceptTraining, class_prompts, load_concepts, load_model, load_source, train_concepts
from ncm_lib.engine.denoise import denoise
from ncm_lib.engine.schedulers import make_scheduler

from ...garments import GARMENTS

STEPS, GUIDANCE = 3, 3.0


@pytest.fixture(scope="module", params=[1, 3], ids=["one token", "three tokens"])
def learned(request, picture_folder, tmp_path_factory):
    """Three classes learned on the embedded model, so fast that every weight moves."""
    folder = tmp_path_factory.mktemp("stock") / "concepts"
    config = ConceptTraining(
        steps=4, batch_size=3, sampling="balanced", tokens_per_class=request.param, learning_rate=5e-2,
        embedding_learning_rate=5e-2, init_word="sneaker", prompt="a photo of a {class}", dataset="birds",
    )  # fmt: skip
    train_concepts(GARMENTS, load_source(picture_folder), out=folder, config=config, device="cpu")
    return folder


@pytest.fixture(scope="module")
def stock(learned):
    """A stock pipeline with the stock loaders."""
    from diffusers import StableDiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(GARMENTS, dtype=torch.float32, safety_checker=None)
        pipeline.load_lora_weights(learned, weight_name="pytorch_lora_weights.safetensors")
        for number in range(3):
            pipeline.load_textual_inversion(learned / "embeddings" / f"birds_class_{number}.safetensors")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def first_words(learned) -> list[str]:
    """What stands in a stock prompt for each class: the one key of its file."""
    files = [learned / "embeddings" / f"birds_class_{number}.safetensors" for number in range(3)]
    return [key for file in files for key in load_file(file)]


def test_each_of_three_names_gives_its_own_vectors(learned, stock):
    files = [learned / "embeddings" / f"birds_class_{number}.safetensors" for number in range(3)]
    table = stock.text_encoder.get_input_embeddings().weight
    seen = []
    for file, word in zip(files, first_words(learned), strict=True):
        (vectors,) = load_file(file).values()
        text = stock.maybe_convert_prompt(f"a photo of a {word}", stock.tokenizer)
        ids = stock.tokenizer(text, add_special_tokens=False).input_ids[4:]
        assert torch.equal(table[ids], vectors.reshape(len(ids), -1))
        seen.append(vectors)
    assert all((seen[a] != seen[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


def test_all_that_was_learned_is_on_every_attention_projection(learned, stock):
    loaded = {name for name, _ in stock.unet.named_parameters() if "lora_" in name}
    matrices = [value for value in load_file(learned / "pytorch_lora_weights.safetensors").values() if value.ndim == 2]
    # 7 transformer blocks, 2 attention layers in each, 4 projections in each, 2 factors of each
    assert len(loaded) == len(matrices) == 7 * 2 * 4 * 2


def test_an_image_of_load_concepts_is_the_stock_pipelines(learned, stock):
    model = load_concepts(load_model(GARMENTS, device="cpu"), learned)
    family = model.family
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4, 16, 16, generator=generator)
    conditions = torch.stack(list(family.encode(class_prompts(model.classes, "a photo of a {class}"))))
    empty = torch.stack(list(family.encode([""]))).expand(3, -1, -1)
    latents = denoise(
        family, make_scheduler(family.scheduler, "ddim"), noise, [conditions], [torch.ones(3, 1, 16, 16)],
        unconditional=empty, guidance_scale=GUIDANCE, num_inference_steps=STEPS, generators=[torch.Generator()] * 3,
    )  # fmt: skip
    with torch.inference_mode():
        ours = family.decode(latents).permute(0, 2, 3, 1).numpy()
    stock.scheduler = make_scheduler(family.scheduler, "ddim")
    prompts = [f"a photo of a {word}" for word in first_words(learned)]
    theirs = stock(
        prompts,
        latents=noise,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type="np",
        height=32,
        width=32,
    ).images
    assert np.abs(ours - theirs).max() < 1e-3
    # and not because nothing was learned
    stock.unet.disable_lora()
    without = stock(
        prompts,
        latents=noise,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type="np",
        height=32,
        width=32,
    ).images
    stock.unet.enable_lora()
    assert np.abs(ours - without).max() > 0.05
    assert np.abs(theirs[0] - theirs[1]).max() > 0.05
