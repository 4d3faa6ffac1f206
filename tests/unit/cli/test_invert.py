"""``ncm invert`` in process, and ended from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ncm_lib.cli.main import main
from ncm_lib.sources.pool import InversionPool
from ncm_lib.wording import counted


def run(*argv):
    """The exit code, also where the parser itself leaves."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture
def photos(tmp_path):
    """Three coats, one bag."""
    for number, name in enumerate(["coat", "coat", "coat", "bag"]):
        file = tmp_path / "photos" / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return tmp_path / "photos"


@pytest.fixture
def invert(tiny_folder, photos, tmp_path):
    """``ncm invert`` of the photographs into tmp_path/pool; the exit code."""

    def call(*words, data=photos):
        return run("invert", "--model", tiny_folder, "--data", data, "--out", tmp_path / "pool", "--steps", 2, *words)

    return call


def test_a_pool_is_made_with_its_round_trip_beside_the_ceiling(invert, tmp_path, capsys):
    assert invert() == 0
    shown = capsys.readouterr()
    pool = InversionPool(tmp_path / "pool")
    assert (pool.classes.names, pool.listing.counts) == (("bag", "coat"), (1, 3))
    metrics = pool.metrics().values()
    medians = [float(np.median([entry[name] for entry in metrics])) for name in ("psnr", "psnr_autoencoder")]
    assert "4 images inverted, 0 there already" in shown.out
    assert "median PSNR {:.1f} dB; encoded and decoded only, which is the ceiling: {:.1f} dB".format(*medians) in (
        shown.out
    )
    assert "4/4 images" in shown.err
    assert "ETA" in shown.err


def test_the_same_command_makes_only_what_is_missing(invert, photos, tmp_path, capsys):
    assert invert("--no-measure") == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "pool").iterdir()}
    Image.new("RGB", (24, 20), "green").save(photos / "bag" / "new.png")
    assert invert("--no-measure") == 0
    shown = capsys.readouterr().out
    assert "4 images inverted, 0 there already" in shown
    assert "1 image inverted, 4 there already" in shown
    assert "PSNR" not in shown
    after = {file.name: file.read_bytes() for file in (tmp_path / "pool").iterdir()}
    assert [name for name in after if after[name] != before[name]] == ["class-00000.safetensors"]


def test_options_reach_the_pool(invert, tmp_path):
    words = ["--meta-class", "garment", "--prompt", "{class}, {metaclass}", "--timestep-spacing", "leading"]
    assert invert(*words, "--height", 20, "--width", 24, "--classes", "coat,bag", "--dtype", "bf16") == 0
    pool = InversionPool(tmp_path / "pool")
    head = pool.head
    assert (head.classes, head.meta_class, head.prompt) == (("coat", "bag"), "garment", "{class}, {metaclass}")
    assert (head.timestep_spacing, head.height, head.width, head.num_inference_steps) == ("leading", 20, 24, 2)
    assert head.dtype == "bfloat16"
    assert pool.listing.counts == (3, 1)
    assert pool.latent(pool.listing.images[0][0]).shape == (4, 10, 12)


def test_a_models_own_list_is_taken_where_it_has_the_same_names(tiny_folder, photos, tmp_path):
    import shutil

    model = tmp_path / "with-classes"
    shutil.copytree(tiny_folder, model)
    words = ["--data", photos, "--steps", 1, "--no-measure"]
    own = {"classes": ["coat", "bag"], "meta_class": "garment"}
    (model / "classes.json").write_text(json.dumps(own))
    assert run("invert", "--model", model, "--out", tmp_path / "own", *words) == 0
    head = InversionPool(tmp_path / "own").head
    assert (head.classes, head.meta_class) == (("coat", "bag"), "garment")
    (model / "classes.json").write_text(json.dumps(own | {"classes": ["coat", "bag", "shirt"]}))
    assert run("invert", "--model", model, "--out", tmp_path / "other", *words) == 0
    assert InversionPool(tmp_path / "other").head.classes == ("bag", "coat")


BAD = [
    (["--model", "no-such-model"], "There is no model at 'no-such-model'"),
    (["--data", "nowhere"], "nowhere"),
    (["--classes", "coat,shirt"], "bag"),
    (["--steps", "0"], "num_inference_steps is 0"),
    (["--batch-size", "0"], "batch_size is 0"),
    (["--height", "17"], "The image height is 17; this model takes multiples of 2"),
    (["--prompt", "a photo"], "does not contain {class}"),
    (["--prompt", "a very " * 40 + "{class}"], "the end would be cut off"),
    (["--timestep-spacing", "linspace"], "linspace"),
    (["--device", "tpu"], "The device 'tpu' is not to be had"),
    (["--dtype", "int8"], "The dtype 'int8' is not known"),
    (["--staps", "2"], "staps"),
]


@pytest.mark.parametrize(("words", "part"), BAD, ids=[" ".join(words)[:30] for words, _ in BAD])
def test_bad_input_is_one_message_exit_2_and_nothing_written(tiny_folder, photos, tmp_path, capsys, words, part):
    good = {"--model": tiny_folder, "--data": photos, "--out": tmp_path / "pool", "--steps": 2} | {words[0]: words[1]}
    assert run("invert", *(word for pair in good.items() for word in pair)) == 2
    shown = capsys.readouterr()
    assert part in " ".join((shown.err + shown.out).split())
    assert "Traceback" not in shown.err + shown.out
    assert not (tmp_path / "pool").exists()


def test_a_damaged_image_is_named_or_left_out(invert, photos, tmp_path, capsys):
    (photos / "coat" / "torn.png").write_bytes((photos / "coat" / "0.png").read_bytes()[:60])
    assert invert("--no-measure") == 2
    assert "torn.png" in capsys.readouterr().err
    assert invert("--no-measure", "--bad-images", "skip") == 0
    assert "note: files that cannot be used, left out: 1" in capsys.readouterr().err


def test_another_pool_in_the_folder_is_refused_field_by_field(invert, capsys):
    assert invert("--no-measure") == 0
    assert invert("--meta-class", "garment") == 2
    assert 'meta_class: the pool has "", this run has "garment"' in capsys.readouterr().err


def test_help_shows_runnable_examples(capsys):
    assert run("invert", "--help") == 0
    assert capsys.readouterr().out.count("ncm invert ") >= 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_signal_ends_it_cleanly_and_the_same_command_goes_on(tiny_folder, photos, tmp_path, capsys):
    pool = tmp_path / "pool"
    words = ["invert", "--model", tiny_folder, "--data", photos, "--out", pool, "--batch-size", 1, "--no-measure"]
    program = "import sys; from ncm_lib.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *map(str, words), "--steps", "60"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 100
    while not list(pool.glob("part-00001-*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=100)[1]
    assert process.returncode == 143, text
    assert "ncm: terminated; what is finished is kept, the same command continues" in text
    assert "Traceback" not in text
    assert re.search(r"[123] images? made by this run, [123] of 4 are there", text)
    there = len(list(pool.glob("[cp]*.safetensors")))
    assert there in (2, 3)
    assert not list(pool.glob(".ncm-*.lock"))
    assert run(*words, "--steps", 60) == 0
    assert f"{counted(4 - there, 'image')} inverted, {there} there already" in capsys.readouterr().out
