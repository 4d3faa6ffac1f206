"""Stock diffusers reads what we write, and means the same by it."""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders import StableDiffusionLoraLoaderMixin

from ncm_lib.concepts import read_concepts, save_concepts
from ncm_lib.engine.concepts import load_concepts
from ncm_lib.plan.prompts import class_prompts

from .conftest import old_layout, projections


@pytest.mark.parametrize("per_class", [1, 2])
def test_each_embedding_file_gives_its_class_the_vectors_that_we_give_it(
    tiny_folder, tiny_model, make_concepts, tmp_path, per_class
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder)
    concepts = make_concepts(3, per_class=per_class)
    save_concepts(tmp_path, concepts)
    for k in range(3):
        pipeline.load_textual_inversion(tmp_path / f"embeddings/cub_class_{k}.safetensors")
    words = pipeline.text_encoder.get_input_embeddings().weight
    ours = load_concepts(tiny_model, tmp_path)
    for k in range(3):
        prompt = f"a photo of a <class_{k}> bird"
        ids = torch.tensor(pipeline.tokenizer(pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)).input_ids)
        new = ids[ids >= len(tiny_model.family.tokenizer)]
        assert torch.equal(words[new], concepts.vectors("clip_l", k))
        theirs = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)[0][0]
        assert torch.allclose(ours.family.encode([class_prompts(ours.classes)[k]])[0], theirs, atol=1e-6)


def test_the_lora_file_gives_every_projection_the_weight_that_we_give_it(
    tiny_folder, tiny_model, make_concepts, tmp_path
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder)
    save_concepts(tmp_path, make_concepts(scale=0.5))
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    ours = load_concepts(tiny_model, tmp_path).family.unet
    paths = projections(tiny_model.family.unet)
    assert paths
    for path in paths:
        theirs = pipeline.unet.get_submodule(path).weight
        assert torch.allclose(theirs, ours.get_submodule(path).weight, atol=1e-6), path
        assert not torch.allclose(theirs, tiny_model.family.unet.get_submodule(path).weight, atol=1e-3), path


def test_what_diffusers_writes_is_read_as_diffusers_means_it(tiny_folder, tiny_model, tmp_path):
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder)
    config = LoraConfig(r=4, lora_alpha=2, init_lora_weights=False, target_modules=["to_k", "to_q", "to_v", "to_out.0"])
    pipeline.unet.add_adapter(config)
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    save_file({"<cat-toy>": torch.ones(32)}, tmp_path / "learned_embeds.safetensors")
    ours = load_concepts(tiny_model, tmp_path).family.unet
    pipeline.fuse_lora()
    for path in projections(tiny_model.family.unet):
        theirs = pipeline.unet.get_submodule(path).base_layer.weight
        assert torch.allclose(theirs, ours.get_submodule(path).weight, atol=1e-6), path


def test_every_key_of_sd_15_is_one_that_diffusers_knows(sd15_unet, sd15_checkpoint, tmp_path):
    concepts = read_concepts(sd15_checkpoint)
    save_concepts(tmp_path, concepts)
    state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(tmp_path, unet_config=sd15_unet.config)
    wanted = old_layout({path: (pair.down, pair.up) for path, pair in concepts.lora.items()})
    assert state.keys() == {f"unet.{key}" for key in wanted}
    assert all(torch.equal(state[f"unet.{key}"], tensor) for key, tensor in wanted.items())
    assert [*alphas.values()] == [10.0] * 128
