"""Captions by a tiny real BLIP, kept through crashes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ncm_lib import InputError, load_source
from ncm_lib.engine.caption import caption_images
from ncm_lib.engine.captioner import load_captioner
from ncm_lib.sources.captions import read_captions

from ...tiny_blip import save_tiny_blip


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-blip"
    save_tiny_blip(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(blip):
    return load_captioner(blip, device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        file = folder / ("wren" if number < 3 else "robin") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file)
    return load_source(folder)


def test_a_caption_depends_on_its_image_alone(captioner, images):
    pictures = [images.read(row) for row in range(len(images))]
    together = captioner.captions(pictures)
    assert together == [captioner.captions([picture])[0] for picture in pictures]
    assert len(set(together)) > 1
    assert all("[" not in text and text == text.strip() for text in together)


def test_the_captioner_is_the_stock_model_by_beam_search(blip, captioner, images):
    from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    processor = BlipProcessor(BlipImageProcessorPil.from_pretrained(blip), BertTokenizer.from_pretrained(blip))
    model = BlipForConditionalGeneration.from_pretrained(blip).eval()
    tokens = model.generate(**processor(images=images.read(0), return_tensors="pt"), num_beams=3, max_new_tokens=30)
    assert captioner.captions([images.read(0)]) == [processor.decode(tokens[0], skip_special_tokens=True)]


def test_every_image_gets_a_line_by_content(captioner, images, tmp_path):
    seen = []
    made = caption_images(captioner, images, out=tmp_path / "c.jsonl", batch_size=2, on_progress=seen.append)
    assert [(progress.done, progress.made, progress.count) for progress in seen] == [(2, 2, 5), (4, 4, 5), (5, 5, 5)]
    assert [caption.content_hash for caption in made] == [image.content_hash for image in images]
    assert [caption.class_name for caption in made] == ["robin"] * 2 + ["wren"] * 3
    assert {caption.captioner for caption in made} == {captioner.fingerprint}
    assert sorted(read_captions(tmp_path / "c.jsonl"), key=lambda c: (c.class_name, c.content_hash)) == list(made)


@pytest.mark.parametrize("tear", [0, 1, 30])
def test_a_run_that_was_cut_short_goes_on_and_gives_the_same_file(captioner, images, tmp_path, tear):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.made == 4:
            raise Stop

    with pytest.raises(Stop):
        caption_images(captioner, images, out=tmp_path / "cut.jsonl", batch_size=2, on_progress=stop)
    data = (tmp_path / "cut.jsonl").read_bytes()
    assert data.count(b"\n") == 4
    (tmp_path / "cut.jsonl").write_bytes(data[: len(data) - tear])
    seen = []
    caption_images(captioner, images, out=tmp_path / "cut.jsonl", on_progress=seen.append)
    # without its line break the last line is whole still
    assert (seen[-1].made, seen[-1].done) == ((1, 5) if tear < 2 else (2, 5))
    caption_images(captioner, images, out=tmp_path / "whole.jsonl")
    assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("end", ["", '\n{"caption": "to'])
def test_a_second_crash_behind_a_torn_line_loses_nothing(captioner, images, tmp_path, end):
    def stop(progress):
        raise KeyboardInterrupt

    (tmp_path / "c.jsonl").write_text('{"caption": "by hand"}' + end)
    with pytest.raises(KeyboardInterrupt):
        caption_images(captioner, images, out=tmp_path / "c.jsonl", batch_size=2, on_progress=stop)
    captions = read_captions(tmp_path / "c.jsonl")
    assert (len(captions), captions[0].caption) == (3, "by hand")


def test_captions_that_are_there_are_not_made_again(captioner, images, tmp_path):
    file = tmp_path / "c.jsonl"
    caption_images(captioner, images.take([0, 1]), out=file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line | {"caption": "by hand"}) + "\n" for line in lines))
    texts = [caption.caption for caption in caption_images(captioner, images, out=file)]
    assert texts[:2] == ["by hand"] * 2
    assert "by hand" not in texts[2:]
    fewer = caption_images(captioner, images.take([4]), out=file)
    assert len(fewer) == 1
    assert len(read_captions(file)) == 5


def test_captions_of_another_captioner_are_not_mixed_in(captioner, images, tmp_path):
    file = tmp_path / "c.jsonl"
    file.write_text('{"caption": "x", "captioner": "0123456789abcdef"}\n')
    with pytest.raises(InputError, match=r"another captioner \(fingerprint 0123456789ab, this one's is"):
        caption_images(captioner, images, out=file)
    assert file.read_text() == '{"caption": "x", "captioner": "0123456789abcdef"}\n'


def test_what_is_no_captioner_is_refused(blip, tiny_folder, tmp_path):
    with pytest.raises(
        InputError, match=r"There is no captioner at './nowhere'; legal: a folder with a BLIP captioner"
    ):
        load_captioner("./nowhere")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        load_captioner(tiny_folder)
    with pytest.raises(InputError, match="holds a model of type 'clip_text_model'"):
        load_captioner(tiny_folder / "text_encoder")
    with pytest.raises(InputError, match="The device 'tpu' is not to be had"):
        load_captioner(blip, device="tpu")
    with pytest.raises(InputError, match="the hub gave no captioner of that id"):
        load_captioner("nobody/nothing")


def test_pickled_and_torn_weights_are_refused(blip, tmp_path):
    shutil.copytree(blip, tmp_path / "torn")
    weights = tmp_path / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"could not be loaded .*with safetensors weights"):
        load_captioner(tmp_path / "torn")
    weights.rename(tmp_path / "torn" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"could not be loaded .*with safetensors weights"):
        load_captioner(tmp_path / "torn")
