"""A checkpoint of exactly the published layout at SD 1.5's shape: 128 projections, 200 classes."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from ncm_lib.concepts import read_concepts, save_concepts
from ncm_lib.engine.concepts import load_concepts

from .conftest import projections


@pytest.fixture(scope="module")
def sd15_model(tiny_model, sd15_unet):
    """SD 1.5's UNet with random attention weights, and a text encoder of its width."""
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tiny_model.family.tokenizer), hidden_size=768, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=12, max_position_embeddings=32, eos_token_id=571, bos_token_id=570, pad_token_id=571,
        )
    ).eval().requires_grad_(False)  # fmt: skip
    return replace(tiny_model, family=replace(tiny_model.family, unet=sd15_unet, text_encoder=text))


def test_the_files_are_of_the_published_shape(sd15_checkpoint):
    tensors = load_file(sd15_checkpoint / "pytorch_lora_weights.safetensors")
    assert len(tensors) == 256
    assert sum(tensor.numel() for tensor in tensors.values()) == 1_992_960
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight" in tensors
    content = torch.load(sd15_checkpoint / "learned_embeds-steps-last.bin", weights_only=True)
    assert {tuple(vector.shape) for vector in content["learned_embeds_dict"].values()} == {(768,)}
    assert len(content["learned_embeds_dict"]) == len(content["name2placeholder"]) == 200


def test_every_tensor_lands_where_it_must(sd15_model, sd15_unet, sd15_checkpoint):
    adapted = load_concepts(sd15_model, sd15_checkpoint)
    tensors = load_file(sd15_checkpoint / "pytorch_lora_weights.safetensors")
    paths = projections(sd15_unet)
    assert len(paths) == 128
    for path in paths:
        block, _, name = path.rpartition(".to_")
        key = f"{block}.processor.to_{name.removesuffix('.0')}_lora"
        base, weight = sd15_unet.get_submodule(path).weight, adapted.family.unet.get_submodule(path).weight
        change = tensors.pop(f"{key}.up.weight") @ tensors.pop(f"{key}.down.weight")
        assert torch.equal(weight, base + change), path
        assert float(change.abs().max()) > 0.01, path
    assert not tensors, "every tensor of the file was used"
    others = {name for name, weight in adapted.family.unet.named_parameters()
              if weight is not sd15_unet.get_parameter(name)}  # fmt: skip
    assert others == {f"{path}.weight" for path in paths}
    rows = adapted.family.text_encoder.get_input_embeddings().weight
    start = len(sd15_model.family.text_encoder.get_input_embeddings().weight)
    assert rows.shape == (start + 200, 768)
    for k in range(200):
        row = adapted.family.tokenizer.convert_tokens_to_ids(f"<class_{k}>")
        assert row >= start
        assert torch.equal(rows[row], torch.full((768,), float(k + 1)) + torch.arange(768))


def test_converted_files_mean_the_same(sd15_checkpoint, tmp_path):
    concepts = read_concepts(sd15_checkpoint)
    save_concepts(tmp_path, concepts)
    again = read_concepts(tmp_path)
    assert again.fingerprint == concepts.fingerprint
    assert again.classes == concepts.classes
    assert again.rank == 10
