import copy

import diffusers
import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.engine.render import Renderer

PIPELINES = {
    "sd2": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
    "sd35": diffusers.StableDiffusion3Pipeline,
    "flux-dev": diffusers.FluxPipeline,
}
CLASSES = ClassList.of(["bag", "coat"])


@pytest.fixture(scope="module")
def lora_of(family_folder, tmp_path_factory):
    """A LoRA file of a family, whose two factors are both random."""
    files = {}

    def made(family):
        if family not in files:
            part = "unet" if family in ("sd2", "sdxl") else "transformer"
            denoiser = copy.deepcopy(getattr(load_model(family_folder(family), device="cpu").family, part))
            denoiser.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
            generator = torch.Generator().manual_seed(5)
            state = {
                name: torch.randn(tensor.shape, generator=generator) * 0.3
                for name, tensor in get_peft_model_state_dict(denoiser).items()
            }
            folder = tmp_path_factory.mktemp("lora") / family
            PIPELINES[family].save_lora_weights(folder, **{f"{part}_lora_layers": state})
            files[family] = folder / "pytorch_lora_weights.safetensors"
        return files[family]

    return made


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    """A textual inversion of two vectors, in the layout that diffusers saves."""
    file = tmp_path_factory.mktemp("embeddings") / "learned.safetensors"
    save_file({"<toy>": torch.randn(2, 32, generator=torch.Generator().manual_seed(3))}, file)
    return file


def prediction(model, *, prompt="a photo of a bag"):
    """The denoiser's answer to one prompt."""
    family = model.family
    latents = torch.randn(1, family.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        (conditioning,) = family.encode([prompt])
        row = conditioning[None] if isinstance(conditioning, torch.Tensor) else {
            name: tensor[None] for name, tensor in conditioning.items()
        }  # fmt: skip
        return family.predict(latents, torch.tensor(500.0), row)


@pytest.mark.parametrize("family", PIPELINES)
def test_a_lora_acts_as_in_the_stock_pipeline(family_folder, lora_of, family):
    folder, file = family_folder(family), lora_of(family)
    plain = prediction(load_model(folder, device="cpu"))
    with_lora = prediction(load_model(folder, device="cpu", lora={str(file): 0.5}))
    stock = load_model(folder, device="cpu")
    pipeline = PIPELINES[family].from_pretrained(folder)
    pipeline.load_lora_weights(file.parent, adapter_name="style")
    pipeline.set_adapters(["style"], [0.5])
    part = "unet" if hasattr(stock.family, "unet") else "transformer"
    object.__setattr__(stock.family, part, getattr(pipeline, part).eval())
    expected = prediction(stock)
    assert (with_lora - expected).abs().max() / expected.abs().max() <= 1e-5
    assert (with_lora - plain).abs().max() / plain.abs().max() > 1e-3


def test_loras_add_up_and_change_the_fingerprint(family_folder, lora_of):
    folder, file = family_folder("sd2"), str(lora_of("sd2"))
    plain, half, full = (load_model(folder, device="cpu", lora=lora) for lora in ({}, {file: 0.5}, {file: 1}))
    weights = [model.family.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
               for model in (plain, half, full)]  # fmt: skip
    assert torch.allclose(weights[2] - weights[0], 2 * (weights[1] - weights[0]), atol=1e-6)
    assert not torch.equal(weights[0], weights[1])
    assert len({model.fingerprint for model in (plain, half, full)}) == 3


def test_a_lora_of_another_family_is_refused_by_name(family_folder, lora_of):
    for family, other in (("sd2", "flux-dev"), ("flux-dev", "sd2"), ("sdxl", "sd35"), ("sd2", "sdxl")):
        with pytest.raises(InputError, match=rf"The LoRA .*{other}.*(could not be loaded into|has no layer of) this"):
            load_model(family_folder(family), device="cpu", lora={str(lora_of(other)): 1.0})


def test_a_lora_that_is_not_there_or_cut_off_is_named(family_folder, lora_of, tmp_path):
    with pytest.raises(InputError, match=r"There is no LoRA at gone\.safetensors; give a \.safetensors file"):
        load_model(family_folder("sd2"), device="cpu", lora={"gone.safetensors": 1.0})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(lora_of("sd2").read_bytes()[:-10])
    with pytest.raises(InputError, match=r"cut\.safetensors has [0-9]+ bytes and its header says"):
        load_model(family_folder("sd2"), device="cpu", lora={str(cut): 1.0})


def test_a_textual_inversion_of_two_vectors_acts_as_in_the_stock_pipeline(family_folder, embedding):
    folder = family_folder("sd2")
    model = load_model(folder, device="cpu", embeddings={"<toy>": embedding})
    pipeline = PIPELINES["sd2"].from_pretrained(folder)
    pipeline.load_textual_inversion(embedding)
    with torch.inference_mode():
        expected, _ = pipeline.encode_prompt("a photo of a <toy>", "cpu", 1, False)
        (encoded,) = model.family.encode(["a photo of a <toy>"])
    assert torch.allclose(encoded, expected[0], atol=1e-6)
    plain = load_model(folder, device="cpu")
    assert not torch.allclose(encoded, plain.family.encode(["a photo of a <toy>"])[0], atol=1e-3)
    assert model.fingerprint != plain.fingerprint


def test_a_textual_inversion_of_sdxl_teaches_both_text_encoders(family_folder, tmp_path):
    generator = torch.Generator().manual_seed(3)
    vectors = {"clip_l": torch.randn(1, 32, generator=generator), "clip_g": torch.randn(1, 24, generator=generator)}
    save_file(vectors, tmp_path / "toy.safetensors")
    family = load_model(family_folder("sdxl"), device="cpu", embeddings={"<toy>": tmp_path / "toy.safetensors"}).family
    for tokenizer, encoder, name in (
        (family.tokenizer, family.text_encoder, "clip_l"),
        (family.tokenizer_2, family.text_encoder_2, "clip_g"),
    ):
        row = tokenizer.convert_tokens_to_ids("<toy>")
        assert torch.equal(encoder.get_input_embeddings().weight[row], vectors[name][0])


def test_textual_inversions_that_do_not_fit_are_refused(family_folder, embedding, tmp_path):
    save_file({"<toy>": torch.zeros(1, 48)}, tmp_path / "wide.safetensors")
    for family, embeddings, message in (
        ("flux-dev", {"<toy>": embedding}, r"Textual inversions are for SD 1\.x, 2\.x and SDXL; this model is FLUX\.1"),
        ("sdxl", {"<toy>": embedding}, r"holds <toy>; SDXL needs clip_l and clip_g, one for each text encoder"),
        ("sd2", {"<toy>": tmp_path / "wide.safetensors"}, r"wide\.safetensors could not be loaded as '<toy>'"),
        ("sd2", {"bag</w>": embedding}, r"could not be loaded as 'bag</w>'"),
        ("sd2", {"<toy>": "gone.safetensors"}, r"There is no textual inversion at gone\.safetensors"),
    ):
        with pytest.raises(InputError, match=message):
            load_model(family_folder(family), device="cpu", embeddings=embeddings)


def test_a_plan_renders_with_a_lora_and_a_learned_class_name(family_folder, lora_of, embedding):
    folder = family_folder("sd2")
    method = NoiseCutMix(classes=ClassList.of(["<toy>", "bag"]), latent_height=8, latent_width=8, latent_cell=2)
    settings = RenderSettings(num_inference_steps=2)
    plain = load_model(folder, device="cpu")
    taught = load_model(folder, device="cpu", lora={str(lora_of("sd2")): 1.0}, embeddings={"<toy>": embedding})
    one, other = (Renderer(model, settings).latents([method.plan_one(0)]) for model in (plain, taught))
    assert torch.isfinite(other).all()
    assert not torch.allclose(one, other, atol=1e-3)
