import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ncm_lib import InputError, load_model
from ncm_lib.engine.fingerprint import fingerprint
from ncm_lib.engine.load import demo_folder


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def test_the_demo_model_loads_with_its_classes_and_defaults():
    model = load_model("demo", device="cpu")
    assert len(model.classes) == 50
    assert model.classes.names[8] == "lemon"
    assert (model.family.latent_channels, model.family.latent_cell, model.family.default_size) == (4, 4, 64)
    assert model.dtype == torch.float32
    assert not model.family.unet.training


def test_a_folder_loads_and_its_place_does_not_change_the_fingerprint(tiny_folder, tmp_path):
    model = load_model(tiny_folder, device="cpu")
    assert model.classes is None
    assert model.defaults.guidance_scale == 7.5
    assert load_model(copy_of(tiny_folder, tmp_path), device="cpu").fingerprint == model.fingerprint


def test_one_changed_weight_changes_the_fingerprint(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert fingerprint(copy) != fingerprint(tiny_folder)


def test_a_large_file_is_fingerprinted_by_its_size_header_and_spread_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("ncm_lib.engine.fingerprint.BLOCK_BYTES", 16)
    file = tmp_path / "large.safetensors"
    content = bytearray(64 * 16 * 8)
    content[:8] = (100).to_bytes(8, "little")
    seen = set()
    for change in (None, 50, 0, len(content) - 1):
        changed = bytearray(content)
        if change is not None:
            changed[change] ^= 1
        file.write_bytes(changed)
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 4


def test_model_defaults_come_from_the_folder(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    (copy / "ncm.json").write_text('{"guidance_scale": 2.5}')
    assert load_model(copy, device="cpu").defaults.guidance_scale == 2.5
    (copy / "ncm.json").write_text('{"guidance": 2.5}')
    with pytest.raises(InputError, match=r"ncm\.json is not a file of model defaults"):
        load_model(copy, device="cpu")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("no-such-model", "There is no model at 'no-such-model'"),
        ("/no/such/place", "There is no model at"),
        ("no/such/weights.safetensors", "There is no model at"),
    ],
)
def test_a_source_that_is_nothing_names_what_is_legal(source, part):
    with pytest.raises(InputError) as error:
        load_model(source)
    assert part in str(error.value)
    assert "legal: demo, a folder in diffusers' layout" in str(error.value)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model_index\.json"):
        load_model(tmp_path)


def test_a_model_of_another_family_is_named(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    with pytest.raises(InputError, match=r"holds a KandinskyPipeline; families that can be loaded: SD 1\.x .*FLUX\.1"):
        load_model(tmp_path)


def test_an_index_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["os", "StableDiffusionPipeline", "NoSuchScheduler"])
def test_an_index_that_names_another_thing_as_scheduler_is_refused(tiny_folder, tmp_path, name):
    copy = copy_of(tiny_folder, tmp_path)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", name]}))
    with pytest.raises(InputError, match="names no scheduler class"):
        load_model(copy)


def test_half_a_download_names_the_missing_part(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    shutil.rmtree(copy / "vae")
    with pytest.raises(InputError, match="has no 'vae' folder"):
        load_model(copy)


def test_pickled_weights_are_refused_with_the_way_out(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"no \.safetensors file.*safe_serialization"):
        load_model(copy)


@pytest.mark.parametrize(
    ("kept", "message"),
    [(1000, "has no header of safetensors"), (-1, "has [0-9]+ bytes and its header says [0-9]+; a download may have")],
)
def test_a_cut_off_weight_file_is_named(tiny_folder, tmp_path, kept, message):
    copy = copy_of(tiny_folder, tmp_path)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"unet/diffusion_pytorch_model\.safetensors {message}"):
        load_model(copy)


def test_a_missing_shard_is_named(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    load_model(copy).family.unet.save_pretrained(copy / "unet", max_shard_size="200KB")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    shards = sorted((copy / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 2
    assert load_model(copy).family.latent_channels == 4
    shards[1].unlink()
    with pytest.raises(InputError, match=rf"index\.json names {shards[1].name}, which is not there; a download may"):
        load_model(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(tiny_folder, tmp_path, part):
    copy = copy_of(tiny_folder, tmp_path)
    (file,) = (copy / part).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[9]
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        InputError, match=rf"{part} lack 1 tensors that its config wants, such as .*{name.split('.')[-2]}"
    ):
        load_model(copy)


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), "float32"), (float("-inf"), "float32"), (1e6, "float16")])
def test_weights_that_are_not_finite_are_named(tiny_folder, tmp_path, value, dtype):
    copy = copy_of(tiny_folder, tmp_path)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_out.weight"][3, 0, 0, 0] = value
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        InputError, match=rf"unet of .* not finite in {dtype}, such as conv_out\.weight; the file is dama"
    ):
        load_model(copy, device="cpu", dtype=dtype)


def test_quantised_weights_are_refused(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"conv": torch.zeros(2, dtype=torch.float8_e4m3fn)}, file)
    with pytest.raises(
        InputError, match=r"vae/diffusion_pytorch_model\.safetensors holds weights of F8_E4M3; legal: F16"
    ):
        load_model(copy)


def test_a_folder_of_half_precision_files_alone_loads(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    for file in list(copy.glob("*/*.safetensors")):
        file.rename(file.with_suffix(".fp16.safetensors"))
    whole, half = load_model(tiny_folder, device="cpu"), load_model(copy, device="cpu")
    assert torch.equal(whole.family.unet.conv_in.weight, half.family.unet.conv_in.weight)


def test_a_scheduler_of_the_other_kind_is_refused(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(
        json.dumps(index | {"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]})
    )
    (copy / "scheduler" / "scheduler_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"a model of SD 1\.x and 2\.x has one with discrete noise levels"):
        load_model(copy)


def test_a_config_of_another_shape_is_one_message(tiny_folder, tmp_path):
    copy = copy_of(tiny_folder, tmp_path)
    file = copy / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"cross_attention_dim": 48}))
    with pytest.raises(InputError, match="could not be loaded"):
        load_model(copy)


def test_an_unknown_device_or_dtype_names_those_there_are():
    with pytest.raises(InputError, match="'tpu' is not to be had here; there are: cpu"):
        load_model("demo", device="tpu")
    with pytest.raises(InputError, match="'int8' is not known; legal: float32"):
        load_model("demo", device="cpu", dtype="int8")


def test_the_embedded_model_is_found():
    assert (demo_folder() / "unet" / "diffusion_pytorch_model.safetensors").is_file()


@pytest.mark.parametrize("name", ["old.ckpt", "weights.bin", "weights.pt"])
def test_a_pickled_checkpoint_is_refused_with_the_way_to_convert_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x02.")
    with pytest.raises(InputError, match=r"is a pickle, which can run code.*from_single_file\(FILE\)\.save_pretrained"):
        load_model(tmp_path / name)


def test_a_config_without_a_single_file_is_refused(tiny_folder):
    with pytest.raises(InputError, match="is no single file; leave config out"):
        load_model(tiny_folder, config=tiny_folder)
