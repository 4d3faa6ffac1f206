"""The two networks: any size, every scale, and nothing of torch's own randomness."""

import runpy
from pathlib import Path

import pytest
import torch

from ncm_lib.dip import SkipConfig, UNetConfig
from ncm_lib.dip.networks import build_network
from ncm_lib.errors import InputError

KINDS = [SkipConfig(widths=(4, 6, 8), skip_channels=2), SkipConfig(widths=(4,), skip_channels=0), UNetConfig()]
each_kind = pytest.mark.parametrize("config", KINDS, ids=["skip", "no skips", "unet"])


@each_kind
@pytest.mark.parametrize("size", [(8, 8), (9, 15), (17, 8), (31, 33), (64, 48), (8, 200)])
def test_any_size_comes_out_as_it_went_in(config, size):
    network = build_network(config, 2, 3, size, seed=0)
    out = network(torch.rand(1, 2, *size)).detach()
    assert out.shape == (1, 3, *size)
    assert 0 <= float(out.min()) < float(out.max()) <= 1


@each_kind
def test_every_weight_is_trained(config):
    network = build_network(config, 2, 1, (24, 24), seed=0)
    network(torch.rand(1, 2, 24, 24)).square().mean().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert idle == []


def test_the_classical_network_has_the_weights_of_the_paper():
    network = build_network(SkipConfig(), 32, 3, (512, 512), seed=0)
    # per scale, with 128 and 4 channels: down 3x3 twice, skip 1x1, up 3x3 and 1x1, their biases, norms of 2 per channel
    scale = 2 * 128 * 128 * 9 + 128 * 4 + 132 * 128 * 9 + 128 * 128 + 4 * 128 + 4 + 2 * (4 * 128 + 4 + 132)
    first = scale + (32 - 128) * (128 * 9 + 4)
    assert sum(weight.numel() for weight in network.parameters()) == first + 4 * scale + 128 * 3 + 3


def test_small_images_lose_the_coarsest_scales():
    def scales(side: int) -> int:
        network = build_network(SkipConfig(widths=(2,) * 5), 1, 1, (side, side), seed=0)
        return sum(module.stride == (2, 2) for module in network.modules() if isinstance(module, torch.nn.Conv2d))

    assert [scales(side) for side in (8, 15, 16, 32, 63, 64, 500)] == [2, 2, 3, 4, 4, 5, 5]


def test_the_border_is_reflected_and_what_was_added_is_cut_off():
    network = build_network(SkipConfig(widths=(4,)), 1, 1, (9, 9), seed=0)
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    z = torch.arange(81.0).reshape(1, 1, 9, 9)
    network(z)
    assert seen[0].shape == (1, 1, 10, 10)
    assert seen[0][0, 0, :9, :9].equal(z[0, 0])
    assert seen[0][0, 0, 9, :9].equal(z[0, 0, 7])


def test_the_seed_fixes_the_weights_and_torchs_own_generator_stays():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_network(UNetConfig(), 1, 1, (8, 8), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.get_rng_state().equal(before)
    assert all(one[name].equal(same[name]) for name in one)
    assert not one["network.1.weight"].equal(other["network.1.weight"])


def test_the_unets_norm_is_layer_norm_over_channels_and_pixels():
    from torch import nn

    network = build_network(UNetConfig(widths=(3,)), 1, 1, (8, 8), seed=0)
    (norm,) = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(norm(x), nn.functional.layer_norm(x, (3, 8, 8)))


def test_sides_below_eight_are_refused():
    with pytest.raises(InputError, match="7 x 32 pixels; a network needs at least 8 per side"):
        build_network(UNetConfig(), 1, 1, (7, 32), seed=0)


def test_it_computes_what_a_straightforward_implementation_does():
    from torch import nn

    bench = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "dip.py"))
    ours = build_network(SkipConfig(widths=(6, 8, 10)), 32, 3, (32, 40), seed=3)
    plain = nn.Sequential(*bench["scale"](32, [6, 8, 10]), nn.Conv2d(6, 3, 1), nn.Sigmoid())
    # both list their layers in the order in which a picture passes them
    with torch.no_grad():
        for one, other in zip(plain.parameters(), ours.parameters(), strict=True):
            one.copy_(other)
    z = torch.rand(1, 32, 32, 40)
    found, expected = ours(z), plain(z)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    found.square().mean().backward()
    expected.square().mean().backward()
    for (name, one), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            one.grad, other.grad, rtol=1e-3, atol=1e-6, msg=lambda text, at=name: f"{at}: {text}"
        )
