"""What the network is fed with."""

import pytest
import torch
from pydantic import ValidationError

from ncm_lib.dip import InputConfig
from ncm_lib.dip.inputs import NetworkInput

IMAGE = torch.full((1, 3, 64, 64), 0.5)


def inputs(config: InputConfig, count: int = 2, seed: int = 0, image: torch.Tensor = IMAGE) -> list[torch.Tensor]:
    source = NetworkInput(config, image, seed=seed)
    return [source.next() for _ in range(count)]


def test_gaussian_is_one_noise_image_with_a_little_more_in_each_iteration():
    first, second = inputs(InputConfig(distribution="normal"))
    assert first.shape == (1, 32, 64, 64)
    assert float((first - second).std()) == pytest.approx(2**0.5 / 30, rel=0.02)
    assert float(((first + second) / 2).std()) == pytest.approx((0.01 + 0.5 / 900) ** 0.5, rel=0.02)
    still, again = inputs(InputConfig(perturbation=0))
    assert still.equal(again)


def test_the_papers_noise_is_uniform_from_0_to_a_tenth():
    (z,) = inputs(InputConfig(perturbation=0), 1)
    assert 0 <= float(z.min()) < 0.001
    assert 0.099 < float(z.max()) <= 0.1
    assert float(z.mean()) == pytest.approx(0.05, rel=0.01)


def test_fresh_noise_is_another_one_in_each_iteration():
    first, second = inputs(InputConfig(kind="fresh", distribution="normal", channels=3))
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.03


# sqrt of alpha_bar and of what is left to 1, from its closed form in float64
@pytest.mark.parametrize(
    ("t", "alpha_bar"), [(0, 0.9999), (100, 0.895141590898), (500, 0.077796658365), (999, 4.0358e-5)]
)
def test_ddpm_is_the_image_on_its_way_to_noise(t, alpha_bar):
    (z,) = inputs(InputConfig(kind="ddpm", t=t), 1)
    assert z.shape == IMAGE.shape
    assert float(z.mean()) == pytest.approx(0.5 * alpha_bar**0.5, abs=0.03)
    assert float(z.std()) == pytest.approx((1 - alpha_bar) ** 0.5, rel=0.02)


def test_fixed_eta_is_one_noise_at_all_timesteps():
    half = InputConfig(kind="ddpm", t=(0, 999), eta="fixed")
    first, second = ((z - z.mean()).flatten() for z in inputs(half))
    assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) > 0.9999
    first, second = (z.flatten() for z in inputs(InputConfig(kind="ddpm", t=500)))
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.03


def test_every_timestep_of_a_range_is_drawn_and_no_other():
    from ncm_lib import LinearSchedule

    # of an empty image the noise's size tells the timestep
    sizes = {round(300 * (1 - float(left)) ** 0.5): t for t, left in enumerate(LinearSchedule().alpha_bar[:5])}
    assert len(sizes) == 5
    drawn = inputs(InputConfig(kind="ddpm", t=(1, 3)), 40, image=torch.zeros(1, 1, 200, 200))
    assert {sizes[round(300 * float(z.std()))] for z in drawn} == {1, 2, 3}


def test_the_seed_fixes_all_of_it_and_torchs_own_generator_stays():
    before = torch.get_rng_state()
    for config in (InputConfig(), InputConfig(kind="fresh"), InputConfig(kind="ddpm")):
        one, same, other = (torch.stack(inputs(config, 3, seed)) for seed in (7, 7, 8))
        assert one.equal(same)
        assert not one.equal(other)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("t", [1000, -1, (5, 4), (0, 1000)])
def test_timesteps_off_the_schedule_are_refused(t):
    with pytest.raises(ValidationError):
        InputConfig(kind="ddpm", t=t)
