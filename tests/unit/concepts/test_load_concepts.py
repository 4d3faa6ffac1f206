"""Concepts on a model: every tensor lands where it must, and the original stays as it was."""

import dataclasses

import pytest
import torch

import ncm_lib as ncm
from ncm_lib import InputError
from ncm_lib.concepts import LoraPair, save_concepts
from ncm_lib.engine.concepts import load_concepts, with_concepts
from ncm_lib.engine.load import model_fingerprint
from ncm_lib.plan.prompts import class_prompts

from .conftest import projections, random_pairs


def words_of(model):
    return model.family.text_encoder.get_input_embeddings().weight


def test_every_projection_becomes_base_plus_up_times_down(tiny_model, checkpoint):
    adapted = load_concepts(tiny_model, checkpoint)
    base, unet = dict(tiny_model.family.unet.named_parameters()), dict(adapted.family.unet.named_parameters())
    pairs = random_pairs(tiny_model.family.unet, 4)
    assert len(pairs) == len(projections(tiny_model.family.unet)) > 0
    assert base.keys() == unet.keys()
    for name, weight in unet.items():
        path = name.removesuffix(".weight")
        if path in pairs:
            down, up = pairs[path]
            assert torch.equal(weight, base[name] + up @ down), path
            assert not torch.equal(weight, base[name]), path
        else:
            assert weight is base[name], name


def test_only_new_rows_stand_in_the_embedding(tiny_model, checkpoint):
    adapted = load_concepts(tiny_model, checkpoint)
    old, new = words_of(tiny_model), words_of(adapted)
    assert new.shape == (len(old) + 12, 32)
    assert torch.equal(new[: len(old)], old)
    for k in range(12):
        row = adapted.family.tokenizer.convert_tokens_to_ids(f"<class_{k}>")
        assert torch.equal(new[row], torch.full((32,), float(k + 1)) + torch.arange(32))


def test_the_original_model_is_untouched(tiny_model, checkpoint):
    before = {name: tensor.clone() for name, tensor in tiny_model.family.unet.state_dict().items()}
    rows, words, fingerprint = len(words_of(tiny_model)), len(tiny_model.family.tokenizer), tiny_model.fingerprint
    load_concepts(tiny_model, checkpoint)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_model.family.unet.state_dict().items())
    assert (len(words_of(tiny_model)), len(tiny_model.family.tokenizer)) == (rows, words)
    assert tiny_model.fingerprint == fingerprint
    assert tiny_model.classes is None


def test_each_class_means_its_own_vectors_in_a_prompt(tiny_model, make_concepts):
    concepts = make_concepts(3, per_class=2)
    adapted = with_concepts(tiny_model, concepts)
    tokenizer = adapted.family.tokenizer
    for class_id, prompt in enumerate(class_prompts(adapted.classes)):
        ids = torch.tensor(tokenizer(prompt).input_ids)
        at = (ids >= len(words_of(tiny_model))).nonzero().ravel()
        assert torch.equal(words_of(adapted)[ids[at]], concepts.vectors("clip_l", class_id))
    encoded = adapted.family.encode(class_prompts(adapted.classes))
    assert not torch.equal(encoded[0], encoded[1])


def test_the_words_around_a_token_stay_what_they_were(tiny_model, checkpoint):
    adapted = load_concepts(tiny_model, checkpoint)
    plain = tiny_model.family.tokenizer("a photo of a bag, flying").input_ids
    with_token = adapted.family.tokenizer("a photo of a <class_11>, flying").input_ids
    bag = tiny_model.family.tokenizer("bag").input_ids[1:-1]
    at = next(k for k in range(len(plain)) if plain[k : k + len(bag)] == bag)
    assert with_token[:at] + with_token[at + 1 :] == plain[:at] + plain[at + len(bag) :]


def test_prompts_without_tokens_mean_what_they_meant(tiny_model, checkpoint):
    adapted = load_concepts(tiny_model, checkpoint)
    prompts = ["a photo of a bag", ""]
    for here, there in zip(tiny_model.family.encode(prompts), adapted.family.encode(prompts), strict=True):
        assert torch.equal(here, there)


def test_the_fingerprint_tells_model_and_content(tiny_model, tiny_folder, make_concepts, tmp_path):
    concepts = make_concepts()
    save_concepts(tmp_path, concepts)
    adapted = load_concepts(tiny_model, tmp_path)
    assert adapted.fingerprint == with_concepts(tiny_model, concepts).fingerprint
    assert adapted.fingerprint != model_fingerprint(tiny_folder)
    assert adapted.fingerprint != with_concepts(tiny_model, make_concepts(seed=1)).fingerprint


def test_a_scale_is_that_of_the_change(tiny_model, make_concepts):
    concepts = make_concepts(scale=0.25)
    path, pair = next(iter(concepts.lora.items()))
    adapted = with_concepts(tiny_model, concepts).family.unet.get_submodule(path).weight
    base = tiny_model.family.unet.get_submodule(path).weight
    assert torch.allclose(adapted - base, 0.25 * pair.up @ pair.down, atol=1e-6)


def test_concepts_without_lora_share_the_unet(tiny_model, make_concepts):
    concepts = dataclasses.replace(make_concepts(), lora={})
    assert with_concepts(tiny_model, concepts).family.unet is tiny_model.family.unet


def test_half_precision_stays_half_precision(tiny_folder, make_concepts):
    model = ncm.load_model(tiny_folder, device="cpu", dtype="bfloat16")
    adapted = with_concepts(model, make_concepts()).family
    assert {weight.dtype for weight in adapted.unet.parameters()} == {torch.bfloat16}
    assert adapted.text_encoder.get_input_embeddings().weight.dtype == torch.bfloat16


def test_concepts_of_another_base_model_are_refused_by_name(tiny_model, make_concepts):
    concepts = make_concepts(base_model="sd15", base_fingerprint="a" * 64)
    with pytest.raises(InputError, match=r"learned with the model 'sd15' \(aaaaaaaaaaaa\), and this is 'tiny-sd'"):
        with_concepts(tiny_model, concepts)
    assert with_concepts(tiny_model, concepts, any_base=True).classes == concepts.classes
    same = dataclasses.replace(concepts, base_fingerprint=tiny_model.fingerprint)
    assert with_concepts(tiny_model, same).classes == concepts.classes


def test_concepts_on_a_model_that_has_them_are_refused(tiny_model, make_concepts):
    adapted = with_concepts(tiny_model, make_concepts())
    with pytest.raises(InputError, match="has the token <class_0> already"):
        with_concepts(adapted, make_concepts())


def test_vectors_of_another_width_are_refused(tiny_model, make_concepts):
    concepts = make_concepts(1)
    wide = dataclasses.replace(concepts, embeddings={"clip_l": {"<class_0>": torch.ones(768)}})
    with pytest.raises(InputError, match="have the width 768, and the text encoder of the model tiny-sd expects 32"):
        with_concepts(tiny_model, wide)


def test_a_layer_that_the_model_lacks_is_refused_with_one_that_it_has(tiny_model, make_concepts):
    pair = LoraPair(down=torch.ones(1, 32), up=torch.ones(32, 1))
    path = "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k"
    wrong = dataclasses.replace(make_concepts(), lora={path: pair})
    with pytest.raises(InputError, match=rf"adapt the layer '{path}', which the model .* such as 'down_blocks\.1"):
        with_concepts(tiny_model, wrong)


def test_a_layer_of_another_shape_is_refused(tiny_model, make_concepts):
    path = projections(tiny_model.family.unet)[0]
    wrong = dataclasses.replace(make_concepts(), lora={path: LoraPair(down=torch.ones(1, 320), up=torch.ones(320, 1))})
    with pytest.raises(InputError, match=rf"adapt the layer '{path}' as a matrix \[320, 320\]; in the model"):
        with_concepts(tiny_model, wrong)


def test_a_data_set_is_made_with_concepts(tiny_model, checkpoint, tmp_path):
    model = load_concepts(tiny_model, checkpoint)
    method = ncm.NoiseCutMix(classes=model.classes)
    settings = ncm.RenderSettings(num_inference_steps=2)
    ncm.generate(method, model, out=tmp_path / "aug", count=2, settings=settings)
    assert ncm.verify(tmp_path / "aug").ok
    with pytest.raises(InputError, match="model_fingerprint"):
        ncm.generate(method, tiny_model, out=tmp_path / "aug", count=2, settings=settings)


def test_an_actor_of_ray_puts_the_concepts_on_its_model(tiny_folder, tiny_model, checkpoint, tmp_path):
    from ncm_lib.engine.ray_run import _Job

    wanted = load_concepts(tiny_model, checkpoint)
    values = dict.fromkeys(field.name for field in dataclasses.fields(_Job))
    given = {
        "method": ncm.NoiseCutMix(classes=wanted.classes), "model": str(tiny_folder), "out": tmp_path, "count": 2,
        "seed": 0, "settings": ncm.RenderSettings(), "image_format": "png", "save_masks": True, "device": "cpu",
        "dtype": "float32", "concepts": checkpoint, "any_base": False, "lora": {}, "embeddings": {},
        "speed": ncm.Speed(),
    }  # fmt: skip
    _, renderer, manifest = _Job(**{**values, **given}).settled()
    assert renderer.model.fingerprint == manifest.model_fingerprint == wanted.fingerprint
