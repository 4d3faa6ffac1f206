"""The command line in process; what a user sees when the input is wrong."""

import dataclasses
import json
import subprocess
import sys

import pytest

from ncm_lib import NoiseCutMix, RenderSettings
from ncm_lib.cli.generate import Run
from ncm_lib.cli.main import main
from ncm_lib.cli.sampling import Sampling
from ncm_lib.methods import Method

GENERATE = ["generate", "noisecutmix", "--num-inference-steps", "2", "--model"]


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


def test_demo_makes_a_data_set_and_says_where_it_is(tmp_path, capsys):
    assert run("demo", "--out", tmp_path / "set", "--count", 4) == 0
    text = capsys.readouterr().out
    assert "4 images made" in text
    assert str(tmp_path / "set" / "preview.png") in text
    assert len(list((tmp_path / "set" / "images").glob("*/*.png"))) == 4


def test_generate_verify_and_preview_work_on_one_set(tiny_folder, tmp_path, capsys):
    out = tmp_path / "set"
    assert run(*GENERATE, tiny_folder, "--classes", "sneaker,bag", "--out", out, "--count", 3, "--alpha", 2) == 0
    assert json.loads((out / "dataset.json").read_text())["config"]["alpha"] == 2.0
    assert run("verify", out) == 0
    (out / "preview.png").unlink()
    assert run("preview", out, "--count", 2) == 0
    assert (out / "preview.png").is_file()
    next(out.glob("images/*/00000001.png")).write_bytes(b"torn")
    assert run("verify", out) == 1
    assert "00000001.png" in capsys.readouterr().out


def test_the_metaclass_reaches_the_prompts(tiny_folder, tmp_path):
    out = tmp_path / "set"
    words = ["--classes", "sneaker,bag", "--meta-class", "garment", "--out", out, "--count", 1]
    assert run(*GENERATE, tiny_folder, *words) == 0
    assert json.loads((out / "dataset.json").read_text())["meta_class"] == "garment"


BAD = [
    (["--model", "no-such-model"], "There is no model at 'no-such-model'"),
    (["--classes", "no-such.json"], "There is no class list at 'no-such.json'"),
    (["--class-a", "ship"], "There is no class 'ship'"),
    (["--alpha", "0"], "alpha"),
    (["--alpha", "nan"], "alpha"),
    (["--alpha", "1e400"], "alpha"),
    (["--guidance-scale", "nan"], "guidance"),
    (["--num-inference-steps", "0"], "num"),
    (["--height", "17"], "The image height is 17"),
    (["--scheduler", "dimm"], "The scheduler 'dimm' is not known"),
    (["--prompt", "a photo"], "does not contain {class}"),
    (["--count", "0"], "must be at least 1"),
    (["--batch-size", "0"], "must be at least 1"),
    (["--seed", "-1"], "seed"),
    (["--device", "tpu"], "The device 'tpu' is not to be had"),
    (["--dtype", "int8"], "The dtype 'int8' is not known"),
    (["--placement", "outside"], "outside"),
    (["--aplha", "1"], "aplha"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(tiny_folder, tmp_path, capsys, words, part):
    out = tmp_path / "set"
    good = ["--model", str(tiny_folder), "--classes", "sneaker,bag", "--out", str(out), "--count", "2"]
    if words[0] in good:
        position = good.index(words[0])
        del good[position : position + 2]
    assert run("generate", "noisecutmix", *good, *words) == 2
    shown = capsys.readouterr()
    assert part in shown.err + shown.out
    assert "Traceback" not in shown.err + shown.out
    assert not out.exists()


def test_a_model_without_classes_asks_for_them(tiny_folder, tmp_path, capsys):
    assert run(*GENERATE, tiny_folder, "--out", tmp_path / "set", "--count", 1) == 2
    assert "give --classes" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "preview"])
def test_a_folder_that_is_no_data_set_is_refused(tmp_path, capsys, command):
    assert run(command, tmp_path) == 2
    assert "dataset.json" in capsys.readouterr().err


def test_every_field_of_the_configs_is_a_flag(capsys):
    assert run("generate", "noisecutmix", "--help") == 0
    text = capsys.readouterr().out
    fields = [
        *(name for name in NoiseCutMix.model_fields if name not in Method.model_fields),
        *RenderSettings.model_fields,
        *(field.name for kind in (Run, Sampling) for field in dataclasses.fields(kind)),
    ]
    assert [name for name in fields if f"--{name.replace('_', '-')}" not in text.replace("--no-", "--")] == []


@pytest.mark.parametrize("words", [[], ["demo"], ["generate"], ["preview"], ["verify"], ["generate", "noisecutmix"]])
def test_help_shows_runnable_examples(capsys, words):
    assert run(*words, "--help") == 0
    text = capsys.readouterr().out
    assert text.count("ncm ") >= 2 or not words


def test_help_does_not_wait_for_diffusers():
    code = (
        "import sys\n"
        "from ncm_lib.cli.main import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_an_interrupt_is_exit_code_130(monkeypatch, tmp_path, capsys):
    import ncm_lib.engine.generate as module

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "generate", interrupted)
    assert run("demo", "--out", tmp_path / "set") == 130
    assert "the same command continues" in capsys.readouterr().err
