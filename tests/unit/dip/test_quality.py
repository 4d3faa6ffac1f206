"""PSNR and SSIM, and what a wrong data range does to them."""

import math

import pytest
import torch

from ncm_lib.dip import psnr, ssim
from ncm_lib.errors import InputError


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def waves(shift: float) -> torch.Tensor:
    """A picture that any program can make: 24 x 20 pixels in three channels."""
    y, x, c = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (24, 20, 3)), indexing="ij")
    return (0.5 + 0.4 * torch.sin(0.5 * x + 0.3 * y + c + shift)).permute(2, 0, 1)


def test_psnr_is_that_of_the_mean_squared_difference():
    x = noise(0, 3, 16, 16)
    assert psnr(x, x + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(x * 255, x * 255 + 25.5, data_range=255) == pytest.approx(20, abs=1e-4)
    assert psnr(x, x) == math.inf


# skimage.metrics.structural_similarity of scikit-image 0.26.0, channel_axis=0, for the waves shifted by 0 and 0.7; the
# second as Wang et al. have it: gaussian_weights=True, sigma=1.5, use_sample_covariance=False
@pytest.mark.parametrize(
    ("window", "data_range", "expected"),
    [
        ("uniform", 1.0, 0.732402525487103),
        ("uniform", 255.0, 0.9983019661430333),
        ("gaussian", 1.0, 0.6956512321766611),
        ("gaussian", 255.0, 0.9971610397962039),
    ],
)
def test_ssim_is_the_one_of_scikit_image(window, data_range, expected):
    assert ssim(waves(0), waves(0.7), window=window, data_range=data_range) == pytest.approx(expected, abs=1e-9)


def test_two_unrelated_noise_images_are_alike_by_the_wrong_data_range_only():
    pairs = [(noise(2 * k, 1, 128, 128), noise(2 * k + 1, 1, 128, 128)) for k in range(8)]
    wrong = [ssim(one, other, window="uniform", data_range=255) for one, other in pairs]
    right = [ssim(one, other, window="uniform", data_range=1) for one, other in pairs]
    # .9967 against .0025 in the analysis of the write-up
    assert sum(wrong) / 8 == pytest.approx(0.9967, abs=1e-4)
    assert sum(right) / 8 == pytest.approx(0.0025, abs=0.01)


def test_a_ramp_against_its_negative_is_unlike():
    ramp = torch.linspace(0, 1, 16).expand(1, 16, 16)
    assert ssim(ramp, 1 - ramp) < 0 < ssim(ramp, ramp.square())


def test_images_of_other_shapes_and_too_small_ones_are_refused(as_in_production):
    with pytest.raises(InputError, match=r"shape \[1, 16, 16\] and the clean one \[1, 16, 17\]; they must be equal"):
        psnr(noise(0, 1, 16, 16), noise(0, 1, 16, 17))
    with pytest.raises(InputError, match="10 x 32 pixels; SSIM's window needs at least 11 per side"):
        ssim(noise(0, 1, 10, 32), noise(1, 1, 10, 32))
    assert -1 <= ssim(noise(0, 1, 10, 32), noise(1, 1, 10, 32), window="uniform") <= 1
