"""The batch size that fits, found by trying."""

import json

import pytest
import torch

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, generate
from ncm_lib.engine import probe
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.shards import Shard

METHOD = NoiseCutMix(classes=ClassList.of(["bag", "coat"]))
SETTINGS = RenderSettings(num_inference_steps=3)


@pytest.fixture
def on_gpu(tiny_model):
    """A stand-in for a GPU whose memory ends at 3 rows for each of so many samples; the rows that came."""
    seen = []

    def limit(samples):
        def refuse(_module, args):
            seen.append(len(args[0]))
            if len(args[0]) > 3 * samples:
                raise torch.OutOfMemoryError("CUDA out of memory")

        hooks.append(tiny_model.family.unet.register_forward_pre_hook(refuse))
        return seen

    hooks = []
    yield limit
    for hook in hooks:
        hook.remove()


def attempted(model, count):
    renderer = Renderer(model, SETTINGS)
    method = METHOD.resolved(seed=0, latent_height=8, latent_width=8, latent_cell=2)
    samples = list(method.plan(0, count))
    return probe._by_attempts(lambda size: probe._try(renderer.with_steps(1), samples[:size]), count)


@pytest.mark.parametrize(("fits", "count", "found"), [(6, 32, 4), (8, 32, 8), (100, 12, 8), (1, 4, 1), (0, 4, 0)])
def test_batches_double_until_memory_runs_out(on_gpu, tiny_model, fits, count, found):
    seen = on_gpu(fits)
    assert attempted(tiny_model, count) == found
    assert max(seen) <= 3 * max(2 * found, 1)


def test_another_error_is_not_taken_for_a_lack_of_memory(tiny_model):
    def fail(*_):
        raise RuntimeError("the device is gone")

    hook = tiny_model.family.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="the device is gone"):
            attempted(tiny_model, 4)
    finally:
        hook.remove()


def test_a_cpu_takes_what_fits_into_half_of_the_free_memory(tiny_model, monkeypatch):
    renderer = Renderer(tiny_model, SETTINGS)
    method = METHOD.resolved(seed=0, latent_height=8, latent_width=8, latent_cell=2)
    single = probe.peak_bytes(renderer.with_steps(1), method.plan_one(0))
    # at the least the largest activations of three rows, in float32
    assert single > 3 * 32 * 8 * 8 * 4
    found = {}
    for samples in (0, 1, 3, 5, 1000):
        monkeypatch.setattr(probe, "free_memory", lambda samples=samples: int((2 * samples + 0.5) * single))
        found[samples] = probe.fitting_batch(renderer, method, 100)
    assert found == {0: 1, 1: 1, 3: 2, 5: 4, 1000: 8}
    assert probe.fitting_batch(renderer, method, 3) == 2


def test_the_size_is_recorded_and_kept(tiny_model, tmp_path):
    def run(count, batch_size):
        return generate(METHOD, tiny_model, out=tmp_path, count=count, batch_size=batch_size, settings=SETTINGS)

    assert run(5, "auto").made == 5
    assert json.loads((tmp_path / "dataset.json").read_text())["batch_shape"] == 4
    # a data set that is there decides, and nothing is tried
    again = run(9, "auto")
    assert (again.made, again.notes) == (4, ())


def test_shards_of_a_new_data_set_need_a_number(tiny_model, tmp_path):
    with pytest.raises(
        InputError, match=r"'auto', and the 2 shards of a new data set need one size for all: give a nu"
    ):
        generate(
            METHOD, tiny_model, out=tmp_path / "set", count=4, batch_size="auto", settings=SETTINGS,
            shard=Shard(index=0, count=2),
        )  # fmt: skip
    assert not (tmp_path / "set").exists()
