"""Checkpoints in one file, in the layout that Stable Diffusion was first published in."""

import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.load import model_fingerprint
from ncm_lib.engine.render import Renderer

# diffusers' name -> the published one, for the tiny model's two blocks of one layer
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET = [
    (r"^time_embedding\.linear_1", "time_embed.0"),
    (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^conv_in", "input_blocks.0.0"),
    (r"^conv_norm_out", "out.0"),
    (r"^conv_out", "out.2"),
    (r"^down_blocks\.0\.resnets\.0", "input_blocks.1.0"),
    (r"^down_blocks\.0\.downsamplers\.0\.conv", "input_blocks.2.0.op"),
    (r"^down_blocks\.1\.resnets\.0", "input_blocks.3.0"),
    (r"^down_blocks\.1\.attentions\.0", "input_blocks.3.1"),
    (r"^mid_block\.resnets\.0", "middle_block.0"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
    (r"^mid_block\.resnets\.1", "middle_block.2"),
    (r"^up_blocks\.0\.resnets\.(\d)", r"output_blocks.\1.0"),
    (r"^up_blocks\.0\.attentions\.(\d)", r"output_blocks.\1.1"),
    (r"^up_blocks\.0\.upsamplers\.0\.conv", "output_blocks.1.2.conv"),
    (r"^up_blocks\.1\.resnets\.0", "output_blocks.2.0"),
    (r"^up_blocks\.1\.resnets\.1", "output_blocks.3.0"),
]
VAE = [
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.0\.resnets", "up.1.block"),
    (r"up_blocks\.1\.resnets", "up.0.block"),
    (r"up_blocks\.0\.upsamplers\.0", "up.1.upsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
]


def renamed(name, rules):
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def published_layout(family):
    """The tiny model's weights under the names of the first published checkpoints."""
    tensors = {}
    for name, tensor in family.unet.state_dict().items():
        parts = name.split(".")
        if "resnets" in parts:
            parts[4] = RESNET[parts[4]] if parts[0] != "mid_block" else parts[4]
            parts[3] = RESNET[parts[3]] if parts[0] == "mid_block" else parts[3]
        tensors[f"model.diffusion_model.{renamed('.'.join(parts), UNET)}"] = tensor.clone()
    for name, tensor in family.vae.state_dict().items():
        linear = "attentions" in name and name.endswith("weight") and "norm" not in name
        shaped = tensor[:, :, None, None] if linear else tensor
        tensors[f"first_stage_model.{renamed(name, VAE)}"] = shaped.clone().contiguous()
    for name, tensor in family.text_encoder.state_dict().items():
        prefix = "cond_stage_model.transformer.text_model."
        tensors[prefix + name.removeprefix("text_model.")] = tensor.clone()
    return tensors


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    file = tmp_path_factory.mktemp("single") / "published.safetensors"
    save_file(published_layout(tiny_model.family), file)
    return file


@pytest.fixture(scope="module")
def config(tiny_folder, tmp_path_factory):
    """The model's folder without its weights."""
    return shutil.copytree(
        tiny_folder, tmp_path_factory.mktemp("config") / "sd", ignore=shutil.ignore_patterns("*.safetensors")
    )


def test_a_single_file_renders_as_its_folder_does(tiny_model, checkpoint, config):
    model = load_model(checkpoint, config=config, device="cpu")
    method = NoiseCutMix(classes=ClassList.of(["bag", "coat"]), latent_height=8, latent_width=8, latent_cell=2)
    ours, expected = (
        Renderer(one, RenderSettings(num_inference_steps=2)).latents([method.plan_one(0)])
        for one in (model, tiny_model)
    )
    assert torch.equal(ours, expected)
    assert torch.equal(model.family.decode(ours), tiny_model.family.decode(expected))
    assert model.name == "published"
    assert model.dtype == torch.float32
    assert not model.family.unet.training


def test_a_single_files_fingerprint_is_of_its_weights_and_configs(tiny_model, checkpoint, config, tmp_path):
    model = load_model(checkpoint, config=config, device="cpu")
    copy = shutil.copy(checkpoint, tmp_path / "renamed.safetensors")
    assert load_model(copy, config=config, device="cpu").fingerprint == model.fingerprint
    tensors = published_layout(tiny_model.family)
    tensors["model.diffusion_model.out.2.bias"] += 1
    save_file(tensors, tmp_path / "changed.safetensors")
    assert load_model(tmp_path / "changed.safetensors", config=config, device="cpu").fingerprint != model.fingerprint


def test_a_single_file_loads_in_half_precision(checkpoint, config):
    model = load_model(checkpoint, config=config, device="cpu", dtype="bf16")
    parts = (model.family.unet, model.family.vae, model.family.text_encoder)
    assert {next(part.parameters()).dtype for part in parts} == {torch.bfloat16}


def test_a_single_file_without_a_config_says_what_to_give(checkpoint):
    with pytest.raises(
        InputError, match=r"published\.safetensors is a single file; give config= as well, or put it beside"
    ):
        load_model(checkpoint)


def test_the_folder_of_a_single_files_name_is_its_config(checkpoint, config, tmp_path):
    shutil.copy(checkpoint, tmp_path / "mine.safetensors")
    shutil.copytree(config, tmp_path / "mine")
    model = load_model(tmp_path / "mine.safetensors", device="cpu")
    assert model.name == "mine"
    assert model_fingerprint(tmp_path / "mine.safetensors") == model.fingerprint
    assert model.fingerprint == load_model(checkpoint, config=config, device="cpu").fingerprint


def test_a_cut_off_single_file_is_named(checkpoint, config, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.safetensors has [0-9]+ bytes and its header says [0-9]+; a download"):
        load_model(cut, config=config)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "first_stage_model.", "cond_stage_model."])
def test_a_single_file_without_a_component_is_named(tiny_model, config, tmp_path, prefix):
    tensors = {
        name: value for name, value in published_layout(tiny_model.family).items() if not name.startswith(prefix)
    }
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"part\.safetensors could not be read as SD 1\.x and 2\.x, which the config"):
        load_model(tmp_path / "part.safetensors", config=config)


@pytest.mark.parametrize(
    "name",
    ["model.diffusion_model.out.2.bias", "first_stage_model.decoder.mid.block_1.conv1.weight",
     "cond_stage_model.transformer.text_model.final_layer_norm.weight"],
)  # fmt: skip
def test_a_single_file_without_one_tensor_is_refused(tiny_model, config, tmp_path, name):
    tensors = published_layout(tiny_model.family)
    del tensors[name]
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"part\.safetensors (lacks weights|could not be read)"):
        load_model(tmp_path / "part.safetensors", config=config)


def test_a_single_file_of_another_family_than_its_config_is_refused(checkpoint, family_folder, tmp_path):
    for family in ("sdxl", "flux-dev"):
        with pytest.raises(InputError, match=r"published\.safetensors could not be read as (SDXL|FLUX\.1), which"):
            load_model(checkpoint, config=family_folder(family))
