"""What `ncm generate` and `ncm invert` hand on to the loading of a model."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, load_model
from ncm_lib.cli.generate import Run
from ncm_lib.cli.main import main
from ncm_lib.engine.ray_run import _Job
from ncm_lib.engine.speed import Speed


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def generate(tiny_folder, tmp_path):
    """``ncm generate noisecutmix`` into tmp_path/set; the exit code."""

    def call(*words, model=tiny_folder):
        usual = ["--model", model, "--num-inference-steps", 1, "--classes", "bag,coat", "--out", tmp_path / "set"]
        return run("generate", "noisecutmix", *usual, "--count", 2, *words)

    return call


def head(tmp_path):
    return json.loads((tmp_path / "set" / "dataset.json").read_text())


def test_a_batch_size_can_be_found_by_trying(generate, tmp_path):
    assert generate("--batch-size", "auto") == 0
    assert head(tmp_path)["batch_shape"] == 2


@pytest.fixture
def lora(tmp_path):
    """A LoRA of one projection, in diffusers' layout."""
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q.lora_"
    tensors = {f"{layer}A.weight": torch.full((2, 64), 0.1), f"{layer}B.weight": torch.full((64, 2), 0.1)}
    save_file(tensors, tmp_path / "style.safetensors")
    return tmp_path / "style.safetensors"


@pytest.fixture
def word(tmp_path):
    save_file({"emb_params": torch.full((1, 32), 0.1)}, tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


def test_additions_and_speed_reach_the_model_and_the_data_set(generate, tiny_folder, lora, word, tmp_path):
    words = ["--lora", f"{lora}:0.5", "--embedding", f"<toy>={word}", "--channels-last", "--attention", "math"]
    assert generate(*words, "--slice-decoding") == 0
    expected = load_model(tiny_folder, device="cpu", lora={str(lora): 0.5}, embeddings={"<toy>": word})
    assert head(tmp_path)["model_fingerprint"] == expected.fingerprint
    assert head(tmp_path)["render"]["speed"] == "channels_last, attention math, slice_decoding"
    assert Run(model=str(tiny_folder), out=tmp_path, lora=(f"{lora}:0.5",), embedding=(f"<toy>={word}",)).fingerprint(
    ) == expected.fingerprint  # fmt: skip
    assert Run(model=str(tiny_folder), out=tmp_path, compile=True).load_options()["speed"] == Speed(compile=True)


def test_a_cache_reaches_the_data_set_of_a_transformer(generate, family_folder, tmp_path):
    words = ["--cache", "taylor", "--cache-interval", 4, "--height", 16, "--width", 16]
    assert generate(*words, model=family_folder("flux-schnell")) == 0
    assert head(tmp_path)["render"]["speed"] == "cache taylor, cache_interval 4"


def test_another_weight_of_a_lora_is_another_data_set(generate, lora, capsys):
    assert generate("--lora", lora) == 0
    assert generate("--lora", f"{lora}:0.5") == 2
    assert "model_fingerprint" in capsys.readouterr().err


def test_actors_load_what_the_driver_settles(tiny_folder, lora, tmp_path):
    job = _Job(
        method=NoiseCutMix(classes=ClassList.of(["bag", "coat"])), model=str(tiny_folder), out=tmp_path / "set",
        count=2, seed=0, batch_size=None, settings=RenderSettings(num_inference_steps=1), image_format="png",
        save_masks=True, inversion=None, images=None, device="cpu", dtype="float32", config=None,
        lora={str(lora): 0.5}, embeddings={}, speed=Speed(attention="cudnn", channels_last=True), concepts=None,
        any_base=False,
    )  # fmt: skip
    # the driver has no GPU, and settles what the actors' GPUs run
    _, _, manifest = job.settled(to_run=False)
    assert manifest.render["speed"] == "channels_last, attention cudnn"
    assert manifest.model_fingerprint == load_model(tiny_folder, device="cpu", lora={str(lora): 0.5}).fingerprint
    with pytest.raises(InputError, match="'cudnn' does not run on cpu"):
        job.settled()
    with pytest.raises(InputError, match=r"cache is 'taylor'; .* this model's denoiser is a UNet"):
        dataclasses.replace(job, speed=Speed(cache="taylor")).settled(to_run=False)


BAD = [
    (["--lora", "style.safetensors:much"], "--lora is 'style.safetensors:much'; legal: FILE.safetensors or"),
    (["--lora", "style.safetensors:nan"], "legal: FILE.safetensors or FILE.safetensors:WEIGHT"),
    (["--lora", "missing.safetensors"], "There is no LoRA at missing.safetensors"),
    (["--embedding", "toy.safetensors"], "--embedding is 'toy.safetensors'; legal: WORD=FILE"),
    (["--config", "sd15"], "is no single file; leave config out"),
    (["--attention", "cudnn"], "'cudnn' does not run on cpu in float32"),
    (["--batch-size", "much"], "much"),
    (["--cache", "taylor"], "cache is 'taylor'; it leaves out parts of a transformer, and this model's denoiser is a"),
    (["--cache", "taylor", "--compile"], "compile is on and cache is 'taylor'; the compiler would start anew"),
    (["--cache", "taylor", "--cache-interval", "1"], "--cache-interval got 1: input should be greater than or equal"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(generate, tmp_path, monkeypatch, capsys, words, part):
    monkeypatch.chdir(tmp_path)
    assert generate("--device", "cpu", *words) == 2
    shown = capsys.readouterr()
    assert part in " ".join((shown.err + shown.out).replace("│", " ").split())
    assert "Traceback" not in shown.err + shown.out
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("command", [["generate", "noisecutmix"], ["generate", "diff-mix"], ["invert"]])
def test_help_shows_the_options(capsys, command):
    assert run(*command, "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--config", "--lora", "--embedding", "--compile", "--channels-last", "--attention", "--cache"):
        assert option in shown
