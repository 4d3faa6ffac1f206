"""The LoRA: where it sits, how it begins, and that it leaves no trace."""

import copy

import pytest
import torch

from ncm_lib import InputError
from ncm_lib.training.concepts_lora import TARGETS, lora


@pytest.fixture
def unet(tiny_model):
    return tiny_model.family.unet


def prediction(unet):
    generator = torch.Generator().manual_seed(0)
    latents, states = (torch.randn(shape, generator=generator) for shape in ((2, 4, 8, 8), (2, 7, 32)))
    with torch.no_grad():
        return unet(latents, torch.tensor([10, 700]), states, return_dict=False)[0]


def test_every_attention_projection_has_both_factors_of_the_rank(unet):
    projections = {
        f"unet.{name}": module
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(tuple(f".{target}" for target in TARGETS))
    }
    assert len(projections) == 4 * 2 * (1 + 1 + 2)
    with lora(unet, rank=3, seed=0) as found:
        shapes = {name: tuple(parameter.shape) for name, parameter in found.items()}
        trainable = {id(parameter) for parameter in unet.parameters() if parameter.requires_grad}
        assert trainable == {id(parameter) for parameter in found.values()}
    expected = {f"{name}.lora_A.weight": (3, module.in_features) for name, module in projections.items()}
    expected |= {f"{name}.lora_B.weight": (module.out_features, 3) for name, module in projections.items()}
    assert shapes == expected


def test_it_begins_as_the_base_model_with_random_a_and_zero_b(unet):
    before = prediction(unet)
    with lora(unet, rank=4, seed=0) as found:
        assert torch.equal(prediction(unet), before)
        assert all(not value.any() for name, value in found.items() if "lora_B" in name)
        spread = torch.cat([value.detach().flatten() for name, value in found.items() if "lora_A" in name]).std()
    assert abs(float(spread) - 1 / 4) < 0.01


def test_the_start_depends_on_the_seed_alone_and_takes_nothing_from_the_process(unet):
    def start(seed):
        with lora(unet, rank=2, seed=seed) as found:
            return {name: value.detach().clone() for name, value in found.items()}

    torch.manual_seed(1)
    first, after = start(0), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    second, other = start(0), start(5)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all((first[name] != other[name]).all() for name in first if "lora_A" in name)


def test_alpha_is_the_rank_so_the_scale_is_one(unet):
    projection = unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1.to_q
    inputs = torch.randn(1, projection.in_features, generator=torch.Generator().manual_seed(0))
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    with torch.no_grad(), lora(unet, rank=3, seed=0) as found:
        up, down = found[f"{name}.lora_B.weight"], found[f"{name}.lora_A.weight"]
        up.fill_(0.5)
        adapted = unet.get_submodule(name.removeprefix("unet."))(inputs)
        expected = inputs @ (projection.weight + up @ down).T
    torch.testing.assert_close(adapted, expected)


def test_the_unet_is_as_it_was_afterwards(unet):
    before, names, seen = copy.deepcopy(unet.state_dict()), list(dict(unet.named_modules())), prediction(unet)
    with pytest.raises(KeyError), lora(unet, rank=2, seed=0) as found:
        raise KeyError([value.data.fill_(1.0) for value in found.values()])
    assert list(dict(unet.named_modules())) == names
    after = unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(prediction(unet), seen)
    assert not any(parameter.requires_grad for parameter in unet.parameters())
    with lora(unet, rank=2, seed=0) as found:
        assert found


def test_rank_zero_leaves_it_alone(unet):
    names = list(dict(unet.named_modules()))
    with lora(unet, rank=0, seed=0) as found:
        assert found == {}
        assert list(dict(unet.named_modules())) == names


def test_a_unet_with_a_lora_is_refused(unet):
    with (
        lora(unet, rank=2, seed=0),
        pytest.raises(InputError, match="carries a LoRA already; train on the base model"),
        lora(unet, rank=2, seed=0),
    ):
        pass
