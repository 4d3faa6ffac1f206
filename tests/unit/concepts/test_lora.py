"""LoRA keys: every layout leads to the same layers."""

import pytest
import torch

from ncm_lib import InputError
from ncm_lib.concepts import lora_pairs
from ncm_lib.concepts.lora import LoraPair, lora_tensors

from .conftest import old_layout, random_pairs

LAYOUTS = {
    "peft": lambda path: (f"unet.{path}.lora_A.weight", f"unet.{path}.lora_B.weight"),
    "peft's own": lambda path: (f"base_model.model.{path}.lora_A.default.weight",
                                f"base_model.model.{path}.lora_B.default.weight"),
    "diffusers": lambda path: (f"unet.{path}.lora.down.weight", f"unet.{path}.lora.up.weight"),
    "kohya": lambda path: (f"lora_unet_{path.replace('.', '_')}.lora_down.weight",
                           f"lora_unet_{path.replace('.', '_')}.lora_up.weight"),
}  # fmt: skip
PATHS = [
    "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj",
    "down_blocks.1.attentions.0.proj_in",
    "down_blocks.1.resnets.0.time_emb_proj",
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", PATHS)
def test_keys_of_every_layout_lead_to_their_layer(layout, path):
    down, up = torch.rand(2, 3), torch.rand(4, 2)
    names = LAYOUTS[layout](path)
    pairs = lora_pairs(dict(zip(names, (down, up), strict=True)), scale=0.5)
    assert [*pairs] == [path]
    assert torch.allclose(pairs[path].delta(), 0.5 * up @ down)


def test_the_layout_of_attention_processors_leads_to_their_layers(tiny_model):
    wanted = random_pairs(tiny_model.family.unet, 2)
    pairs = lora_pairs(old_layout(wanted))
    assert pairs.keys() == wanted.keys()
    assert all(torch.equal(pairs[path].delta(), up @ down) for path, (down, up) in wanted.items())


def test_an_alpha_in_the_file_is_the_scale_times_the_rank():
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {
        f"{key}.lora_down.weight": torch.ones(4, 3),
        f"{key}.lora_up.weight": torch.ones(3, 4),
        f"{key}.alpha": torch.tensor(1.0),
    }
    (pair,) = lora_pairs(tensors, scale=7.0).values()
    assert pair.scale == 0.25


@pytest.mark.parametrize("scale", [1.0, 0.3, 1 / 3])
def test_what_is_written_is_read_back(tiny_model, scale):
    pairs = {path: LoraPair(down=down, up=up, scale=scale)
             for path, (down, up) in random_pairs(tiny_model.family.unet, 3).items()}  # fmt: skip
    again = lora_pairs(lora_tensors(pairs))
    assert again.keys() == pairs.keys()
    assert all(torch.equal(again[path].delta(), pairs[path].delta()) for path in pairs)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "have 0 layers of a UNet, and 0 keys that are none of its LoRA: none at all. Expected are keys such as"),
        ({"weight": torch.ones(2, 2)}, "have 0 layers of a UNet, and 1 keys that are none of its LoRA: 'weight'"),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(2, 2)}, "1 keys that are none"),
        ({"text_encoder.a.lora_A.weight": torch.ones(2, 2)}, "1 keys that are none"),
        ({"unet.a.lora_A.weight": torch.ones(2, 3)}, "have no up matrix of the layer 'a'"),
        ({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(4, 3)}, "down of rank 2 and up of rank 3"),
        ({"a.lora_A.weight": torch.ones(2, 3, 1, 1), "a.lora_B.weight": torch.ones(4, 2)}, r"down of the layer 'a' as"),
        ({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(4, 2, dtype=torch.int8)}, "torch.int8"),
        ({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.full((4, 2), torch.inf)}, "NaN or infinite"),
        ({"a.lora_A.weight": torch.ones(2, 3), "unet.a.lora_A.weight": torch.ones(2, 3)}, "layer 'a' twice"),
        ({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(4, 2), "a.alpha": torch.ones(2)},
         "alpha of the layer 'a' as"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_meant_are_refused_by_key(tensors, message):
    with pytest.raises(InputError, match=message):
        lora_pairs(tensors, where="The weights in lora.safetensors")
