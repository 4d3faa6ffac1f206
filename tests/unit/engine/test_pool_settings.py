"""A run and the pool that it starts from."""

import json

import pytest
from safetensors.torch import save_file

from ncm_lib import InputError, InversionPool, RenderSettings
from ncm_lib.engine.pool_settings import settings_for_pool
from ncm_lib.plan.prompts import DEFAULT_TEMPLATE
from ncm_lib.sources.pool import PoolHead, class_file

MODEL, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def fit(tmp_path):
    """Settings fitted to a pool with another head's fields."""

    def call(settings=None, *, prompt=DEFAULT_TEMPLATE, fingerprint=MODEL, **fields):
        head = PoolHead(
            **{
                "classes": ("robin",), "prompt": DEFAULT_TEMPLATE, "model_fingerprint": MODEL, "dtype": "float32",
                "num_inference_steps": 4, "timestep_spacing": "trailing", "height": 16, "width": 24,
            } | fields
        )  # fmt: skip
        (tmp_path / "pool.json").write_text(json.dumps(head.model_dump(mode="json")))
        save_file({}, tmp_path / class_file(0))
        return settings_for_pool(
            RenderSettings(**(settings or {})), InversionPool(tmp_path), prompt=prompt, fingerprint=fingerprint
        )

    return call


def test_the_pools_size_is_the_runs(fit):
    assert fit() == RenderSettings(height=16, width=24)
    assert fit({"height": 16, "guidance_scale": 2.0}) == RenderSettings(height=16, width=24, guidance_scale=2.0)


@pytest.mark.parametrize(
    ("asked", "pool", "taken"),
    [
        ("auto", "trailing", "auto"),
        ("trailing", "trailing", "trailing"),
        ("linspace", "trailing", "linspace"),
        ("auto", "leading", "leading"),
        ("leading", "leading", "leading"),
    ],
)
def test_both_grids_meet_at_the_noise(fit, asked, pool, taken):
    assert fit({"timestep_spacing": asked}, timestep_spacing=pool).timestep_spacing == taken


@pytest.mark.parametrize(("asked", "pool"), [("leading", "trailing"), ("trailing", "leading"), ("linspace", "leading")])
def test_grids_that_do_not_meet_are_refused(fit, asked, pool):
    with pytest.raises(InputError, match=f"inverted on a '{pool}' grid and the run's timestep_spacing is '{asked}'"):
        fit({"timestep_spacing": asked}, timestep_spacing=pool)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"fingerprint": OTHER}, r"another model: .* is aaaaaaaaaaaa, this model's is bbbbbbbbbbbb"),
        ({"prompt": "{class}"}, r"prompt 'a photo of a \{class\} \{metaclass\}', and the plan's is '\{class\}'"),
        ({"settings": {"height": 32}}, r"at a height of 16 and the run's is 32; leave --height out"),
        ({"settings": {"width": 16}}, r"at a width of 24 and the run's is 16; leave --width out"),
    ],
)  # fmt: skip
def test_what_would_not_denoise_to_the_images_is_refused_with_both_values(fit, call, says):
    with pytest.raises(InputError, match=says):
        fit(**call)
