"""Concept training on SDXL: words in both text encoders, and the same promises as for one."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from ncm_lib import ClassList, load_concepts, load_model
from ncm_lib.concepts import read_concepts
from ncm_lib.training.concepts import train_concepts
from ncm_lib.training.concepts_config import ConceptTraining
from ncm_lib.training.concepts_learner import learner

CONFIG = ConceptTraining(
    steps=3, batch_size=4, learning_rate=1e-2, embedding_learning_rate=1e-2, rank=2, tokens_per_class=2,
    sampling="balanced", dataset="birds",
)  # fmt: skip
CLASSES = ClassList(names=("robin", "wren"), tokens=("<class_0>", "<class_1>"))


@pytest.fixture(scope="module")
def folder(family_folder, tmp_path_factory):
    """Its config names the end token 2, as the published SDXL's does."""
    folder = tmp_path_factory.mktemp("old") / "sdxl"
    shutil.copytree(family_folder("sdxl"), folder)
    file = folder / "text_encoder_2" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 2}))
    return folder


@pytest.fixture(scope="module")
def sdxl(folder):
    return load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def whole(sdxl, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts") / "whole"
    before = {name: copy.deepcopy(getattr(sdxl.family, name).state_dict()) for name in PARTS}
    learned = train_concepts(sdxl, pictures, out=folder, config=CONFIG)
    return learned, before


PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def files_of(folder):
    names = ["checkpoint.safetensors", "pytorch_lora_weights.safetensors", "concepts.json"]
    files = [*(folder / name for name in names), *sorted((folder / "embeddings").iterdir())]
    return {file.name: file.read_bytes() for file in files}


def test_both_encoders_learn_every_word_and_the_model_is_bit_for_bit_what_it_was(sdxl, whole):
    learned, before = whole
    for name, states in before.items():
        after = getattr(sdxl.family, name).state_dict()
        assert list(after) == list(states)
        assert all(torch.equal(after[key], value) for key, value in states.items())
    concepts = read_concepts(learned.path)
    assert {name: concepts.width(name) for name in concepts.embeddings} == {"clip_l": 32, "clip_g": 24}
    adapted = load_concepts(sdxl, learned.path)
    for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
        old = getattr(sdxl.family, f"text_encoder{suffix}").get_input_embeddings().weight
        new = getattr(adapted.family, f"text_encoder{suffix}").get_input_embeddings().weight
        assert torch.equal(new[: len(old)], old)
        assert len(new) == len(old) + 6
        rows = torch.stack([*concepts.embeddings[name].values()])
        # each word began as the copy of another row
        assert not any((row == old).all(dim=1).any() for row in rows)
    assert adapted.classes == learned.classes


@pytest.mark.parametrize("stop", [1, 2])
def test_stopped_and_resumed_it_ends_in_the_same_bytes(sdxl, pictures, whole, tmp_path, stop):
    def interrupt(progress):
        if progress.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"{stop} of 3 steps are kept"):
        train_concepts(sdxl, pictures, out=tmp_path, config=CONFIG, on_progress=interrupt)
    assert train_concepts(sdxl, pictures, out=tmp_path, config=CONFIG).made == 3 - stop
    assert files_of(tmp_path) == files_of(whole[0].path)
    values = {name for name in load_file(tmp_path / "checkpoint.safetensors") if "rows" in name}
    assert {"value/rows", "value/rows_2"} < values


def test_grids_and_half_precision_and_checkpointing_work(sdxl, pictures, whole, tmp_path):
    config = CONFIG.model_copy(update={"validation_every": 2, "validation_classes": 1, "validation_images": 1})
    train_concepts(sdxl, pictures, out=tmp_path / "grids", config=config)
    assert files_of(tmp_path / "grids") == files_of(whole[0].path)
    assert (tmp_path / "grids/samples/00000002.png").is_file()
    options = {"mixed_precision": "bf16", "gradient_checkpointing": True, "steps": 2}
    train_concepts(sdxl, pictures, out=tmp_path / "half", config=CONFIG.model_copy(update=options))
    tensors = load_file(tmp_path / "half" / "checkpoint.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float32}


def test_the_loss_is_that_of_the_unet_told_the_pooled_text_at_the_end_and_the_size(sdxl):
    generator, times = torch.Generator().manual_seed(0), torch.tensor([3, 999])
    x0, eta = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    family = sdxl.family
    with torch.no_grad(), learner(sdxl, CLASSES, ConceptTraining()) as learned:
        got = learned.losses(learned.denoiser, x0, eta, times, torch.tensor([1, 0]))
        first, second = (ids[[1, 0]] for ids in learned.ids)
        one = family.text_encoder(first, output_hidden_states=True).hidden_states[-2]
        two = family.text_encoder_2(second, output_hidden_states=True)
        end = (second == family.tokenizer_2.eos_token_id).int().argmax(dim=1)
        assert (second.argmax(dim=1) < end).all(), "the new words have the largest ids"
        pooled = family.text_encoder_2.text_projection(two.last_hidden_state[torch.arange(2), end])
        beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        alpha_bar = torch.cumprod(1 - beta, 0)[times].float().reshape(2, 1, 1, 1)
        added = {"text_embeds": pooled, "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)}
        states = torch.cat([one, two.hidden_states[-2]], dim=-1)
        noisy = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eta
        predicted = family.unet(noisy, times, states, added_cond_kwargs=added, return_dict=False)[0]
    torch.testing.assert_close(got, (predicted - eta).square().mean(dim=(1, 2, 3)), rtol=2e-4, atol=1e-6)


def test_only_words_of_both_encoders_and_lora_have_gradients(sdxl):
    x0, eta = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with learner(sdxl, CLASSES, ConceptTraining()) as learned:
        learned.losses(learned.denoiser, x0, eta, torch.tensor([500]), torch.tensor([0])).mean().backward()
        with_gradient = {id(value) for value in learned.denoiser.parameters() if value.grad is not None}
        assert with_gradient == {id(value) for value in learned.parameters().values()}
        assert [*learned.rows] == ["clip_l", "clip_g"]
        for rows in learned.rows.values():
            assert rows.grad[0].abs().sum() > 0
            assert rows.grad[1].abs().sum() == 0


def test_what_is_learned_means_the_same_to_stock_diffusers(folder, sdxl, whole):
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(whole[0].path)
    # diffusers keeps the config's 2, and would take the pooled text at the new word
    pipeline.text_encoder_2.text_model.eos_token_id = pipeline.tokenizer_2.eos_token_id
    for number in range(3):
        tensors = load_file(whole[0].path / f"embeddings/birds_class_{number}.safetensors")
        for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
            parts = {part: getattr(pipeline, f"{part}{suffix}") for part in ("text_encoder", "tokenizer")}
            pipeline.load_textual_inversion(tensors[name], token=f"<class_{number}>", **parts)
    family = load_concepts(sdxl, whole[0].path).family
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for number, words in enumerate(whole[0].classes.tokens):
        tokens, _, pooled, _ = pipeline.encode_prompt(
            f"a <class_{number}>", device="cpu", do_classifier_free_guidance=False
        )
        (ours,) = family.encode([f"a {words}"])
        torch.testing.assert_close(ours["tokens"], tokens[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(ours["pooled"], pooled[0], rtol=0, atol=1e-5)
        added = {"text_embeds": pooled, "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]])}
        with torch.no_grad():
            theirs = pipeline.unet(x, 500, tokens, added_cond_kwargs=added, return_dict=False)[0]
            mine = family.predict(x, torch.tensor(500), {name: value[None] for name, value in ours.items()})
            bare = sdxl.family.predict(x, torch.tensor(500), {name: value[None] for name, value in ours.items()})
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
        assert (mine - bare).abs().max() > 1e-3
