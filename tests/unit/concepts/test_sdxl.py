"""Concepts on SDXL: a vector for each of two text encoders, and the pooled text at the prompt's end."""

import json
import re
import shutil

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from ncm_lib import InputError, load_model
from ncm_lib.concepts import ConceptSet, class_tokens, read_concepts, save_concepts
from ncm_lib.engine.concepts import load_concepts, with_concepts
from ncm_lib.plan.classes import ClassList
from ncm_lib.plan.prompts import class_prompts

from .conftest import projections, random_pairs

WIDTHS = {"clip_l": 32, "clip_g": 24}


@pytest.fixture(scope="module")
def old_folder(family_folder, tmp_path_factory):
    """A tiny SDXL whose configs name the end token 2, as the published SDXL's second one does."""
    folder = tmp_path_factory.mktemp("old") / "sdxl"
    shutil.copytree(family_folder("sdxl"), folder)
    for name in ("text_encoder", "text_encoder_2"):
        file = folder / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 2}))
    return folder


@pytest.fixture(scope="module")
def sdxl(old_folder):
    return load_model(old_folder, device="cpu")


@pytest.fixture(scope="module")
def make_concepts(sdxl):
    from ncm_lib.concepts import LoraPair

    pairs = random_pairs(sdxl.family.unet, 4)

    def make(per_class=1, **fields):
        generator, tokens = torch.Generator().manual_seed(0), class_tokens(3, per_class)
        words = [word for own in tokens for word in own.split()]
        return ConceptSet(
            classes=ClassList(names=("robin", "wren", "owl"), meta_class="bird", tokens=tokens),
            **{
                "embeddings": {
                    name: {word: torch.randn(width, generator=generator) for word in words}
                    for name, width in WIDTHS.items()
                },
                "lora": {name: LoraPair(down=down, up=up) for name, (down, up) in pairs.items()},
                "dataset": "cub",
                **fields,
            },
        )

    return make


def tables(family):
    return {
        "clip_l": (family.tokenizer, family.text_encoder.get_input_embeddings().weight),
        "clip_g": (family.tokenizer_2, family.text_encoder_2.get_input_embeddings().weight),
    }


@pytest.mark.parametrize("per_class", [1, 2])
def test_files_hold_a_vector_per_encoder_and_come_back_whole(make_concepts, tmp_path, per_class):
    concepts = make_concepts(per_class)
    save_concepts(tmp_path, concepts)
    tensors = load_file(tmp_path / "embeddings/cub_class_1.safetensors")
    assert {name: [*tensor.shape] for name, tensor in tensors.items()} == {
        "clip_l": [per_class, 32],
        "clip_g": [per_class, 24],
    }
    again = read_concepts(tmp_path)
    assert again.fingerprint == concepts.fingerprint
    assert again.classes == concepts.classes


def test_each_encoder_has_its_own_new_rows_and_the_model_stays_as_it_was(sdxl, make_concepts):
    concepts, before = make_concepts(2), {name: table.clone() for name, (_, table) in tables(sdxl.family).items()}
    adapted = with_concepts(sdxl, concepts)
    for name, (tokenizer, table) in tables(adapted.family).items():
        assert torch.equal(table[: len(before[name])], before[name])
        assert len(table) == len(before[name]) + 6
        for class_id, tokens in enumerate(concepts.classes.tokens):
            ids = tokenizer.convert_tokens_to_ids(tokens.split())
            assert torch.equal(table[ids], concepts.vectors(name, class_id))
        assert torch.equal(tables(sdxl.family)[name][1], before[name])
        assert "<class_0_0>" not in tables(sdxl.family)[name][0].get_vocab()
    for path in projections(sdxl.family.unet):
        base, pair = sdxl.family.unet.get_submodule(path).weight, concepts.lora[path]
        assert torch.equal(adapted.family.unet.get_submodule(path).weight, base + pair.up @ pair.down)


def test_the_pooled_text_of_a_prompt_with_a_learned_token_is_that_at_its_end(sdxl, old_folder, make_concepts):
    assert json.loads((old_folder / "text_encoder_2/config.json").read_text())["eos_token_id"] == 2
    family = with_concepts(sdxl, make_concepts()).family
    prompt = "a photo of a <class_1>, flying"
    ids = family.tokenizer_2(prompt, padding="max_length", max_length=32, return_tensors="pt").input_ids
    end = ids[0].tolist().index(family.tokenizer_2.eos_token_id)
    learned = ids[0].tolist().index(family.tokenizer_2.convert_tokens_to_ids("<class_1>"))
    encoder = family.text_encoder_2
    states = encoder(ids).last_hidden_state
    at_end, at_token = (encoder.text_projection(states[0, place]) for place in (end, learned))
    pooled = family.encode([prompt])[0]["pooled"]
    torch.testing.assert_close(pooled, at_end)
    assert not torch.allclose(pooled, at_token, atol=1e-2)


def test_prompts_without_tokens_mean_what_stock_diffusers_makes_of_them(sdxl, old_folder, make_concepts):
    pipeline = StableDiffusionXLPipeline.from_pretrained(old_folder)
    tokens, _, pooled, _ = pipeline.encode_prompt("a photo of a bag", device="cpu", do_classifier_free_guidance=False)
    for family in (sdxl.family, with_concepts(sdxl, make_concepts()).family):
        ours = family.encode(["a photo of a bag"])[0]
        torch.testing.assert_close(ours["tokens"], tokens[0])
        torch.testing.assert_close(ours["pooled"], pooled[0])


@pytest.mark.parametrize("per_class", [1, 2])
@pytest.mark.parametrize("old", [False, True], ids=["end token by its id", "end token 2"])
def test_stock_diffusers_makes_the_same_of_our_files(
    family_folder, old_folder, make_concepts, tmp_path, per_class, old
):
    """The embeddings one encoder at a time, as diffusers documents it for SDXL."""
    folder = old_folder if old else family_folder("sdxl")
    save_concepts(tmp_path, make_concepts(per_class))
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(tmp_path)
    for number in range(3):
        tensors = load_file(tmp_path / f"embeddings/cub_class_{number}.safetensors")
        for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
            pipeline.load_textual_inversion(
                tensors[name],
                token=f"<class_{number}>",
                text_encoder=getattr(pipeline, f"text_encoder{suffix}"),
                tokenizer=getattr(pipeline, f"tokenizer{suffix}"),
            )
    ours = load_concepts(load_model(folder, device="cpu"), tmp_path)
    prompts = [f"a photo of a <class_{number}> bird" for number in range(3)]
    if old:
        # stock takes the learned token for the end; this is what sets it right
        assert pipeline.text_encoder_2.text_model.eos_token_id == 2
        wrong = pipeline.encode_prompt(prompts[0], device="cpu", do_classifier_free_guidance=False)[2][0]
        pipeline.text_encoder_2.text_model.eos_token_id = pipeline.tokenizer_2.eos_token_id
        right = pipeline.encode_prompt(prompts[0], device="cpu", do_classifier_free_guidance=False)[2][0]
        assert not torch.allclose(wrong, right, atol=1e-2)
    tokens, _, pooled, _ = pipeline.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)
    rows = ours.family.encode(class_prompts(ours.classes))
    torch.testing.assert_close(torch.stack([row["tokens"] for row in rows]), tokens, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.stack([row["pooled"] for row in rows]), pooled, rtol=0, atol=1e-5)
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-2)
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    stock = pipeline(
        prompts, latents=latents, height=16, width=16, num_inference_steps=3, guidance_scale=5.0, output_type="np"
    ).images
    assert (torch.from_numpy(stock) - images(ours, latents)).abs().max() < 1e-4


def images(model, latents):
    from ncm_lib.engine.conditioning import stack
    from ncm_lib.engine.denoise import denoise

    family = model.family
    with torch.inference_mode():
        made = denoise(
            family, family.scheduler, latents, [stack(family.encode(class_prompts(model.classes)))],
            [torch.ones(3, 1, 8, 8)], unconditional=stack([family.encode_negative("")] * 3), guidance_scale=5.0,
            num_inference_steps=3, generators=[torch.Generator()] * 3,
        )  # fmt: skip
        return family.decode(made).permute(0, 2, 3, 1)


def test_the_lora_file_gives_every_projection_the_weight_that_we_give_it(sdxl, old_folder, make_concepts, tmp_path):
    save_concepts(tmp_path, make_concepts())
    pipeline = StableDiffusionXLPipeline.from_pretrained(old_folder)
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    ours = load_concepts(sdxl, tmp_path).family.unet
    for path in projections(sdxl.family.unet):
        theirs = pipeline.unet.get_submodule(path).weight
        assert torch.allclose(theirs, ours.get_submodule(path).weight, atol=1e-6), path
        assert not torch.allclose(theirs, sdxl.family.unet.get_submodule(path).weight, atol=1e-3), path


def test_embedding_files_of_others_with_both_keys_are_called_as_their_file(sdxl, tmp_path):
    vectors = {name: torch.randn(2, width) for name, width in WIDTHS.items()}
    save_file(vectors, tmp_path / "cat-toy.safetensors")
    concepts = read_concepts(tmp_path)
    assert concepts.classes.tokens == ("<cat-toy_0> <cat-toy_1>",)
    assert all(torch.equal(concepts.vectors(name, 0), tensor) for name, tensor in vectors.items())
    assert with_concepts(sdxl, concepts).classes.names == ("cat-toy",)


def test_files_for_one_encoder_beside_files_for_two_are_refused(tmp_path):
    save_file({name: torch.ones(width) for name, width in WIDTHS.items()}, tmp_path / "cat.safetensors")
    save_file({"<dog>": torch.ones(32)}, tmp_path / "dog.safetensors")
    with pytest.raises(
        InputError, match=r"dog\.safetensors holds vectors for clip_l, and .*cat\.safetensors for clip_l and"
    ):
        read_concepts(tmp_path)


def test_concepts_for_another_number_of_text_encoders_are_refused(sdxl, tiny_model, make_concepts):
    both = make_concepts(lora={})
    one = make_concepts(lora={}, embeddings={"clip_l": both.embeddings["clip_l"]})
    text = (
        "The concepts hold vectors for 1 text encoder (clip_l), and the model sdxl has 2 text encoders "
        "(clip_l, clip_g): they were learned with a model of another family."
    )
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        with_concepts(sdxl, one)
    with pytest.raises(InputError, match=r"for 2 text encoders \(clip_l, clip_g\), and the model tiny-sd has 1 text "):
        with_concepts(tiny_model, both)


def test_concepts_for_flux_are_refused(family_folder, make_concepts):
    flux = load_model(family_folder("flux-schnell"), device="cpu")
    with pytest.raises(InputError, match=r"of the family Flux1; concepts can be put on SD 1\.x, 2\.x and SDXL\."):
        with_concepts(flux, make_concepts())
